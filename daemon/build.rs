//! Compiles `proto/` without protoc: clients for the calls that the daemon makes, and the messages these need.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// The calls that the daemon can make. Power, PTZ, lights and the camera's network settings are not among them, so
/// that none can be made by mistake: each can cut somebody's picture.
const CALLED: [&str; 12] = [
    "bosdyn.api.AuthService.GetAuthToken",
    "bosdyn.api.DirectoryService.ListServiceEntries",
    "bosdyn.api.PayloadRegistrationService.GetPayloadAuthToken",
    "bosdyn.api.PayloadRegistrationService.RegisterPayload",
    "bosdyn.api.RobotIdService.GetRobotId",
    "bosdyn.api.spot_cam.CompositorService.GetScreen",
    "bosdyn.api.spot_cam.CompositorService.ListScreens",
    "bosdyn.api.spot_cam.CompositorService.SetScreen",
    "bosdyn.api.spot_cam.StreamQualityService.EnableCongestionControl",
    "bosdyn.api.spot_cam.StreamQualityService.GetStreamParams",
    "bosdyn.api.spot_cam.StreamQualityService.SetStreamParams",
    "bosdyn.api.spot_cam.VersionService.GetSoftwareVersion",
];

/// Messages that hold a password, a token or a payload secret: they get no `Debug`.
const SECRET: [&str; 6] = [
    ".bosdyn.api.GetAuthTokenRequest",
    ".bosdyn.api.GetAuthTokenResponse",
    ".bosdyn.api.GetPayloadAuthTokenRequest",
    ".bosdyn.api.GetPayloadAuthTokenResponse",
    ".bosdyn.api.PayloadCredentials",
    ".bosdyn.api.RegisterPayloadRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = proto_files(&root.join("bosdyn"))?;
    files.sort();

    let mut descriptors = protox::compile(&files, [root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.fds"), descriptors.encode_to_vec())?;

    keep_what_is_called(&mut descriptors)?;
    tonic_prost_build::configure()
        .build_server(false)
        .skip_debug(SECRET)
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

/// Leaves the methods of [`CALLED`] and the messages that can be reached from them.
fn keep_what_is_called(descriptors: &mut FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    let mut kept = BTreeSet::new();
    let mut methods = 0;
    for file in &mut descriptors.file {
        let package = file.package().to_owned();
        for service in &mut file.service {
            let service_name = service.name().to_owned();
            service.method.retain(|method| {
                CALLED.contains(&format!("{package}.{service_name}.{}", method.name()).as_str())
            });
            methods += service.method.len();
            for method in &service.method {
                kept.extend([method.input_type().to_owned(), method.output_type().to_owned()]);
            }
        }
        file.service.retain(|service| !service.method.is_empty());
    }
    if methods != CALLED.len() {
        return Err("a call in CALLED is in no .proto file".into());
    }

    let uses: BTreeMap<String, Vec<String>> = descriptors
        .file
        .iter()
        .flat_map(|file| {
            file.message_type
                .iter()
                .map(|message| (top_level(file.package(), message.name()), types(message)))
        })
        .collect();
    let mut open: Vec<String> = kept.iter().cloned().collect();
    while let Some(name) = open.pop() {
        for used in uses.get(&name).into_iter().flatten() {
            // A nested type comes with the message around it.
            let around = uses
                .keys()
                .find(|top| used.starts_with(&format!("{top}.")))
                .unwrap_or(used);
            if kept.insert(around.clone()) {
                open.push(around.clone());
            }
        }
    }
    for file in descriptors
        .file
        .iter_mut()
        .filter(|file| file.package().starts_with("bosdyn"))
    {
        let package = file.package().to_owned();
        file.message_type
            .retain(|message| kept.contains(&top_level(&package, message.name())));
        file.enum_type
            .retain(|kind| kept.contains(&top_level(&package, kind.name())));
        // It speaks of positions that have moved.
        file.source_code_info = None;
    }
    Ok(())
}

fn top_level(package: &str, name: &str) -> String {
    format!(".{package}.{name}")
}

fn types(message: &DescriptorProto) -> Vec<String> {
    let own = message
        .field
        .iter()
        .map(|field| field.type_name().to_owned())
        .filter(|name| !name.is_empty());
    own.chain(message.nested_type.iter().flat_map(types)).collect()
}
