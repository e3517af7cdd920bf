//! The manifest that Raspberry Pi Imager reads.
//!
//! Source: doc/json-schema/os-list-schema.json and doc/schema-notes.md of rpi-imager.

use serde_json::{Value, json};

/// What the manifest tells of an image.
#[derive(Debug)]
pub struct Told<'a> {
    /// Version of the image.
    pub version: &'a str,
    /// Where the compressed image is.
    pub url: &'a str,
    /// Day of the commit, `YYYY-MM-DD`.
    pub date: &'a str,
    /// Bytes of the image.
    pub extract_size: u64,
    /// SHA-256 of the image.
    pub extract_sha256: &'a str,
    /// Bytes of the compressed image.
    pub download_size: u64,
    /// SHA-256 of the compressed image.
    pub download_sha256: &'a str,
}

/// The manifest; `init_format` says that Imager has nothing to customise: settings go into spotstream.toml.
#[must_use]
pub fn manifest(told: &Told<'_>) -> Value {
    json!({
        "os_list": [{
            "name": format!("spotstream {}", told.version),
            "description": "Spot CAM live on Twitch: Raspberry Pi 4B (the same file starts a Jetson Nano)",
            "icon": "icons/use_custom.png",
            "url": told.url,
            "release_date": told.date,
            "extract_size": told.extract_size,
            "extract_sha256": told.extract_sha256,
            "image_download_size": told.download_size,
            "image_download_sha256": told.download_sha256,
            "devices": ["pi4-64bit"],
            "init_format": "none",
            "architecture": "armv8",
        }],
    })
}
