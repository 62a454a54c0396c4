//! Makes Rust types from the tables in `schemas/`, so that a message is a page of facts, not a page of code.
//!
//! `schema` reads the tables, `rust` writes the types, `arbitrary` writes what fills them at random in tests.

mod arbitrary;
mod rust;
mod schema;

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schemas");
    println!("cargo::rerun-if-changed=build");
    let mut paths = fs::read_dir("schemas")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.sort();
    let mut messages = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let mut found = schema::parse(&text).map_err(|fault| format!("{}: {fault}", path.display()))?;
        messages.append(&mut found);
    }
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    fs::write(out.join("messages.rs"), rust::messages(&messages)?)?;
    fs::write(out.join("api_key.rs"), rust::api_keys(&messages)?)?;
    fs::write(out.join("arbitrary.rs"), arbitrary::messages(&messages)?)?;
    Ok(())
}
