use crate::Result;

pub fn run(_arguments: &[String]) -> Result {
    Ok(())
}
