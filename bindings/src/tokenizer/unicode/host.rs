//! Canonical decompositions, from JavaScript: Unicode promises that they never change once a character has one, so that
//! all engines agree with the table, of which a page is spared 2.7 KB.

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    type JsString;
    #[wasm_bindgen(js_namespace = String, js_name = fromCodePoint)]
    fn of_code(code: u32) -> JsString;
    #[wasm_bindgen(method)]
    fn normalize(this: &JsString, form: &JsValue) -> JsString;
    /// `None` at the end.
    #[wasm_bindgen(method, js_name = codePointAt)]
    fn code_at(this: &JsString, index: u32) -> Option<u32>;
}

/// The name of the form.
pub(super) struct Decompositions(JsValue);

impl Decompositions {
    pub fn new() -> Self {
        Decompositions("NFD".into())
    }

    /// Calls `f` with the characters of the decomposition of `c`.
    pub fn each(&self, c: char, f: &mut dyn FnMut(char)) {
        let code = u32::from(c);
        // Ideographs have none; the others are of blocks that have got characters with decompositions since Unicode 9.
        if matches!(code, 0x3400..0xa000 | 0x10500..0x11000 | 0x11380..0x11400 | 0x11900..0x1d000) {
            return f(c);
        }
        let decomposed = of_code(code).normalize(&self.0);
        let mut index = 0;
        while let Some(code) = decomposed.code_at(index) {
            char::from_u32(code).into_iter().for_each(&mut *f);
            index += if code < 0x10000 { 1 } else { 2 };
        }
    }
}
