//! Compiles the daemon's `.proto` files without protoc: servers only, and the descriptors for the log of calls.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("../../daemon/proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = proto_files(&root.join("bosdyn"))?;
    files.sort();
    let descriptors = protox::compile(&files, [root])?;
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("descriptors.fds"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(descriptors)?;
    Ok(())
}

fn proto_files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(files)
}
