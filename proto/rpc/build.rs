//! Compiles the .proto files without protoc: protox reads them, prost and tonic write the Rust.

use prost::Message;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["control", "data", "sql"].map(|name| format!("proto/millstream/{name}/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".millstream.data.v1")
        .bytes(".millstream.sql.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
