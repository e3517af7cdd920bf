//! What the system says of itself.

use std::path::Path;

use crate::error::Result;
use crate::tree;

/// The version of an image and where it comes from.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `0.1.0-1a2b3c4d5e`: of the program, and of the commit.
    pub version: String,
    /// Whose packages the root is made of, as os-release(5) names them.
    pub like: Option<&'static str>,
}

impl Identity {
    /// Writes `/usr/lib/os-release`, and `/etc/issue` as a person sees it on a console.
    pub(super) fn write(&self, root: &Path) -> Result<()> {
        tree::write(&root.join("usr/lib/os-release"), self.os_release())?;
        tree::link("../usr/lib/os-release", &root.join("etc/os-release"))?;
        tree::write(&root.join("etc/issue"), format!("spotstream {}\n", self.version))?;
        tree::remove(&root.join("etc/issue.net"))?;
        tree::remove(&root.join("etc/motd"))
    }

    fn os_release(&self) -> String {
        let version = &self.version;
        let like = self
            .like
            .map(|like| format!("ID_LIKE={like}\n"))
            .unwrap_or_default();
        format!(
            "NAME=spotstream\nPRETTY_NAME=\"spotstream {version}\"\nID=spotstream\n{like}\
             VERSION_ID={version}\nIMAGE_ID=spotstream-arm64\nIMAGE_VERSION={version}\nVARIANT_ID=appliance\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_file_that_systemd_reads() {
        let text = Identity {
            version: "0.1.0-abc".into(),
            like: Some("debian"),
        }
        .os_release();
        assert!(text.contains("\nIMAGE_VERSION=0.1.0-abc\n"), "{text}");
        assert!(text.contains("\nID_LIKE=debian\n"), "{text}");
    }
}
