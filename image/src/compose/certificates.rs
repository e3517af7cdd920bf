//! `/etc/ssl/certs`: what `update-ca-certificates` would make of the packages' certificates.

use std::fs;
use std::path::Path;

use crate::error::{Error, OnFile, Result};
use crate::program::Program;
use crate::tree;

const FROM: &str = "usr/share/ca-certificates/mozilla";
const TO: &str = "etc/ssl/certs";

/// Makes the bundle, and the folder that OpenSSL looks names up in.
pub(super) fn install(root: &Path) -> Result<()> {
    let (from, to) = (root.join(FROM), root.join(TO));
    tree::fresh(&to)?;
    let mut bundle = Vec::new();
    for item in tree::walk(&from)? {
        let certificate = fs::read(&item.path).on("read", &item.path)?;
        let name = item.name.to_string_lossy();
        bundle.extend_from_slice(&certificate);
        if !certificate.ends_with(b"\n") {
            bundle.push(b'\n');
        }
        // Relative, so that the builder's own OpenSSL reads the appliance's certificates.
        tree::link(
            &format!("../../../{FROM}/{name}"),
            &to.join(name.replace(".crt", ".pem")),
        )?;
    }
    if bundle.is_empty() {
        return Err(Error::Unfit {
            path: from,
            why: "holds no certificates; is ca-certificates in image/packages?".to_owned(),
        });
    }
    Program::new("openssl").args(["rehash", "-v"]).arg(&to).run()?;
    tree::write(&to.join("ca-certificates.crt"), bundle)
}
