//! The payload credentials, made on first run and kept.
//!
//! The robot remembers every payload that has ever registered, so a new pair on each start would fill its list and
//! need a new authorization each time.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use spotstream_core::robot::login::PayloadCredentials;
use spotstream_core::secret::Secret;
use uuid::Uuid;

use super::files::write_atomically;

/// The shortest secret that the robot's makers recommend, in characters.
const SHORTEST_SECRET: usize = 12;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("failed to read the payload credentials in '{}'", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be. It is left as it is: the robot knows what it held.
    #[error("failed to understand the payload credentials in '{}': {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, without the secret.
        reason: &'static str,
    },
    /// New credentials cannot be kept.
    #[error("failed to keep the payload credentials in '{}'", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// A stable machine word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Read { .. } => "credentials-unreadable",
            Self::Malformed { .. } => "credentials-malformed",
            Self::Write { .. } => "credentials-unwritable",
        }
    }

    /// Whether the same try can end differently without a person.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Write { .. } => true,
            Self::Read { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// Reads a file of two lines, the GUID and the secret: ours, or the one that a CORE I/O keeps in
/// `/opt/payload_credentials/payload_guid_and_secret`.
///
/// # Errors
/// [`Error::Read`], [`Error::Malformed`].
pub fn load(path: &Path) -> Result<PayloadCredentials, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|reason| Error::Malformed {
        path: path.to_owned(),
        reason,
    })
}

/// Reads the credentials, or makes and keeps them when there is no file yet.
///
/// # Errors
/// All of [`Error`]. A file that is there but not understood is an error, never overwritten.
pub fn load_or_create(path: &Path) -> Result<PayloadCredentials, Error> {
    match load(path) {
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => create(path),
        other => other,
    }
}

fn create(path: &Path) -> Result<PayloadCredentials, Error> {
    let guid = Uuid::new_v4().to_string();
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
    let text = format!("{guid}\n{secret}\n");
    write_atomically(path, text.as_bytes(), 0o600).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })?;
    tracing::info!(guid, path = %path.display(), "made new payload credentials");
    Ok(PayloadCredentials {
        guid,
        secret: Secret::new(&secret),
    })
}

fn parse(text: &str) -> Result<PayloadCredentials, &'static str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (Some(guid), Some(secret), None) = (lines.next(), lines.next(), lines.next()) else {
        return Err("it does not have two lines, the GUID and the secret");
    };
    if guid.len() < SHORTEST_SECRET || secret.len() < SHORTEST_SECRET {
        return Err("the GUID or the secret has less than 12 characters");
    }
    Ok(PayloadCredentials {
        guid: guid.to_owned(),
        secret: Secret::new(secret),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn credentials_are_made_once_and_only_we_can_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payload");
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), made);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(Uuid::parse_str(&made.guid).unwrap().get_version_num(), 4);
        assert_eq!(made.guid, made.guid.to_lowercase());
        assert_eq!(made.secret.reveal().len(), 22);
        let another = load_or_create(&folder.path().join("other")).unwrap();
        assert_ne!((another.guid, another.secret), (made.guid, made.secret));
    }

    #[test]
    fn the_file_of_a_core_io_is_read_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payload_guid_and_secret");
        std::fs::write(
            &path,
            "78b076a2-b4ba-491d-a099-738928c4410c\r\nsecret-of-core-io\r\n",
        )
        .unwrap();
        let credentials = load(&path).unwrap();
        assert_eq!(credentials.guid, "78b076a2-b4ba-491d-a099-738928c4410c");
        assert_eq!(credentials.secret.reveal(), "secret-of-core-io");
    }

    #[test]
    fn a_damaged_file_is_told_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payload");
        for damaged in [
            "",
            "only-one-long-line\n",
            "short\nsecret-of-core-io\n",
            "a-long-enough-guid\nb-long-enough\nc\n",
        ] {
            std::fs::write(&path, damaged).unwrap();
            let error = load_or_create(&path).unwrap_err();
            assert_eq!(error.kind(), "credentials-malformed", "{damaged:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
    }
}
