//! What the boot loaders read: the card's first partition, a slot's boot partition, the boot state.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, OnFile, Result};
use crate::modules::Kernel;
use crate::program::Program;
use crate::tree;

/// The boot state's size, as image/root/etc/fw_env.config and the boot script have it.
const STATE_BYTES: &str = "0x4000";
const DEVICE_TREES: [&str; 3] = [
    "broadcom/bcm2711-rpi-4-b.dtb",
    "nvidia/tegra210-p3450-0000.dtb",
    "nvidia/tegra210-p3541-0000.dtb",
];
/// What of the Pi's firmware a Pi 4 with a 64-bit kernel loads.
const FIRMWARE: [&str; 2] = ["start4.elf", "fixup4.dat"];

/// What the packages bring for the boot loaders, set aside before the root is pruned.
#[derive(Debug)]
pub struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Copies kernel, device trees, firmware and U-Boot out of the unpacked packages in `root` into `folder`.
    ///
    /// # Errors
    /// When one of them is missing.
    pub fn collect(root: &Path, kernel: &Kernel, folder: &Path) -> Result<Self> {
        tree::fresh(folder)?;
        tree::copy(&kernel.folder.join("vmlinuz"), &folder.join("Image"))?;
        for name in DEVICE_TREES {
            tree::copy(
                &kernel.folder.join("dtb").join(name),
                &folder.join("dtb").join(base(name)),
            )?;
        }
        for name in FIRMWARE {
            tree::copy(
                &root.join("usr/lib/raspi-firmware").join(name),
                &folder.join(name),
            )?;
        }
        tree::copy(
            &root.join("usr/lib/u-boot/rpi_arm64/u-boot.bin"),
            &folder.join("u-boot.bin"),
        )?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// What is in `folder` already: `Image`, `dtb/*.dtb` and, for a Pi, its firmware and `u-boot.bin`.
    #[must_use]
    pub fn given(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Fills `to` with the files of a slot's boot partition.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn slot(&self, data: &Path, initrd: &Path, to: &Path) -> Result<()> {
        tree::fresh(to)?;
        tree::copy(&self.folder.join("Image"), &to.join("Image"))?;
        tree::copy(initrd, &to.join("initrd"))?;
        for item in tree::walk(&self.folder.join("dtb"))? {
            tree::copy(&item.path, &to.join("dtb").join(&item.name))?;
        }
        tree::copy(&data.join("extlinux.conf"), &to.join("extlinux/extlinux.conf"))
    }

    /// Fills `to` with the files of the card's first partition.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn card(&self, data: &Path, template: &Path, epoch: u64, to: &Path) -> Result<()> {
        tree::fresh(to)?;
        // A Nano has its boot loader in flash memory, and QEMU is given one.
        if self.folder.join("u-boot.bin").exists() {
            self.pi(data, to)?;
        }
        // Whoever opens these on a PC may have an editor that wants to see carriage returns.
        for (from, name) in [
            (template, "spotstream.toml"),
            (&data.join("README.txt"), "README.txt"),
        ] {
            let text = fs::read_to_string(from).on("read", from)?;
            tree::write(&to.join(name), text.replace("\r\n", "\n").replace('\n', "\r\n"))?;
        }
        let script = to.join("boot.scr");
        Program::new("mkimage")
            .args([
                "-A",
                "arm64",
                "-O",
                "linux",
                "-T",
                "script",
                "-C",
                "none",
                "-n",
                "spotstream",
                "-d",
            ])
            .arg(data.join("boot.cmd"))
            .arg(&script)
            .env("SOURCE_DATE_EPOCH", epoch.to_string())
            .run()?;
        tree::copy(&script, &to.join("u-boot-preboot.scr"))
    }

    /// What a Pi starts from.
    fn pi(&self, data: &Path, to: &Path) -> Result<()> {
        for name in FIRMWARE {
            tree::copy(&self.folder.join(name), &to.join(name))?;
        }
        tree::copy(&self.folder.join("u-boot.bin"), &to.join("u-boot.bin"))?;
        let pi = "bcm2711-rpi-4-b.dtb";
        tree::copy(&self.folder.join("dtb").join(pi), &to.join(pi))?;
        tree::copy(&data.join("config.txt"), &to.join("config.txt"))?;
        self.environment(data, to)
    }

    /// U-Boot's environment on the Pi, with the version of the U-Boot beside it filled in.
    fn environment(&self, data: &Path, to: &Path) -> Result<()> {
        let from = data.join("uboot.env");
        let text = fs::read_to_string(&from)
            .on("read", &from)?
            .replace("@UBOOT_VERSION@", &self.uboot_version()?);
        let filled = self.folder.join("uboot.env.txt");
        tree::write(&filled, text)?;
        environment(&filled, &to.join("uboot.env"))
    }

    fn uboot_version(&self) -> Result<String> {
        let path = self.folder.join("u-boot.bin");
        let bytes = fs::read(&path).on("read", &path)?;
        version_in(&bytes).ok_or_else(|| Error::Unfit {
            path,
            why: "does not tell its version".to_owned(),
        })
    }
}

/// The boot state of a new card.
///
/// # Errors
/// When mkenvimage fails.
pub fn state(data: &Path, to: &Path) -> Result<()> {
    environment(&data.join("state.txt"), to)
}

fn environment(text: &Path, to: &Path) -> Result<()> {
    Program::new("mkenvimage")
        .args(["-s", STATE_BYTES, "-o"])
        .arg(to)
        .arg(text)
        .run()?;
    Ok(())
}

/// The string `U-Boot 2025.01-...` of a binary.
fn version_in(bytes: &[u8]) -> Option<String> {
    let mark = b"U-Boot 20";
    let from = bytes.windows(mark.len()).position(|window| window == mark)?;
    let rest = bytes.get(from..)?;
    let end = rest.iter().position(|byte| !(b' '..=b'~').contains(byte))?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_u_boot_is_the_string_in_its_binary() {
        let bytes = b"\0\0U-Boot\0xx\0U-Boot 2025.01-3+deb13u1 (Jan 01 2025 - 00:00:00 +0000)\0more";
        assert_eq!(
            version_in(bytes).unwrap(),
            "U-Boot 2025.01-3+deb13u1 (Jan 01 2025 - 00:00:00 +0000)"
        );
        assert_eq!(version_in(b"nothing"), None);
    }
}
