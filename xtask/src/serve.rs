//! A static file server for the demo page: GET and HEAD, two folders, the headers that a strict site would send.
//!
//! `/demo/` is the page as [`crate::site`] has put it together, `/pkg/` the package that tests import. Only this machine
//! can connect.

use crate::{Result, project};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The strictest policy that a page with WebAssembly can have, and cross-origin isolation. Nothing is cached: the
/// files change with every build.
const HEADERS: &str = "Content-Security-Policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval'\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\n\
    Cross-Origin-Embedder-Policy: require-corp\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Cache-Control: no-store\r\n\
    Connection: close\r\n";

/// Longer request heads are not from a browser that asks for this page.
const MAX_HEAD: u64 = 16 * 1024;

/// A server that is bound but not yet answering.
pub struct Server {
    listener: TcpListener,
    /// Has the folder `demo`.
    site: PathBuf,
    /// Of the demo page.
    pub url: String,
}

impl Server {
    /// Binds to `port` of the loopback interface, or to a free one if it is taken.
    pub fn bind(port: u16) -> Result<Server> {
        let listener = TcpListener::bind(("127.0.0.1", port)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
        let listener = listener.map_err(|error| format!("no port on 127.0.0.1 can be opened: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("the server has no address: {error}"))?;
        Ok(Server { listener, site: project::target(), url: format!("http://{address}/demo/") })
    }

    /// Answers until the process ends.
    pub fn run(self) {
        for stream in self.listener.incoming().flatten() {
            let site = self.site.clone();
            std::thread::spawn(move || {
                // A browser that hangs up early is its own business.
                let _ = answer(&stream, &site);
            });
        }
    }
}

fn answer(stream: &TcpStream, site: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.take(MAX_HEAD));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }

    let mut words = request.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if method != "GET" && method != "HEAD" {
        return respond(stream, "405 Method Not Allowed", "text/plain", b"GET and HEAD only\n", true);
    }
    if path == "/" || path == "/demo" {
        let location = "HTTP/1.1 302 Found\r\nLocation: /demo/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return (&mut &*stream).write_all(location.as_bytes());
    }
    let content = locate(path, site).and_then(|file| Some((std::fs::read(&file).ok()?, mime(&file))));
    match content {
        Some((bytes, mime)) => respond(stream, "200 OK", mime, &bytes, method == "GET"),
        None => respond(stream, "404 Not Found", "text/plain", b"not found\n", method == "GET"),
    }
}

fn respond(mut stream: &TcpStream, status: &str, mime: &str, content: &[u8], body: bool) -> std::io::Result<()> {
    let length = content.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {mime}\r\nContent-Length: {length}\r\n{HEADERS}\r\n")?;
    if body { stream.write_all(content) } else { Ok(()) }
}

/// The file behind a request path, if it lies in one of the two folders.
fn locate(path: &str, site: &Path) -> Option<PathBuf> {
    let path = Path::new(path.strip_prefix('/')?);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = if path.starts_with("demo") { site.join(path) } else { project::bindings().join(path) };
    let open = path.starts_with("demo") || path.starts_with("pkg");
    let index = path == Path::new("demo");
    (plain && open).then(|| if index { file.join("index.html") } else { file })
}

fn mime(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("csv") => "text/csv; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_folders_are_visible() {
        let locate = |path| locate(path, Path::new("site"));
        assert_eq!(locate("/demo/"), Some(PathBuf::from("site/demo/index.html")));
        assert_eq!(locate("/pkg/index.js"), Some(project::bindings().join("pkg/index.js")));
        for outside in ["", "/", "demo/", "/src/lib.rs", "/demo/../src/lib.rs", "/pkg/../../Cargo.toml", "//etc/passwd"]
        {
            assert_eq!(locate(outside), None, "{outside}");
        }
    }

    #[test]
    fn answers_like_a_strict_site() {
        // The page's source does for its parts that are put together.
        let server = Server { site: project::bindings(), ..Server::bind(0).expect("a free port") };
        let address = server.listener.local_addr().expect("an address");
        std::thread::spawn(move || server.run());
        let ask = |request: &str| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(format!("{request}\r\nHost: x\r\n\r\n").as_bytes()).expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer
        };
        let page = ask("GET /demo/?x HTTP/1.1");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"), "{page}");
        assert!(page.contains("'wasm-unsafe-eval'") && page.contains("<html"), "{page}");
        let head = ask("HEAD /demo/app.js HTTP/1.1");
        assert!(head.contains("text/javascript") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask("GET / HTTP/1.1").contains("Location: /demo/"));
        assert!(ask("GET /demo/none HTTP/1.1").starts_with("HTTP/1.1 404"));
        assert!(ask("POST /demo/ HTTP/1.1").starts_with("HTTP/1.1 405"));
    }
}
