//! Which authority a service of the robot answers under.
//!
//! One address and port carry every service; the name in TLS and in `:authority` chooses between them. Only the
//! authorities that are needed to read the directory are fixed. Those of the Spot CAM are not published, so they are
//! looked up, by type first: names have differed between releases and between the SDK's own languages.

use std::fmt;
use std::str::FromStr;

/// A service of the robot that we call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named as the robot names it")]
pub enum Service {
    Auth,
    Directory,
    PayloadRegistration,
    RobotId,
    Compositor,
    StreamQuality,
    Version,
}

impl Service {
    /// The name of its protocol buffer service, which the directory calls its type.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Auth => "bosdyn.api.AuthService",
            Self::Directory => "bosdyn.api.DirectoryService",
            Self::PayloadRegistration => "bosdyn.api.PayloadRegistrationService",
            Self::RobotId => "bosdyn.api.RobotIdService",
            Self::Compositor => "bosdyn.api.spot_cam.CompositorService",
            Self::StreamQuality => "bosdyn.api.spot_cam.StreamQualityService",
            Self::Version => "bosdyn.api.spot_cam.VersionService",
        }
    }

    /// The names it has been registered under, the likeliest first.
    pub fn usual_names(self) -> &'static [&'static str] {
        match self {
            Self::Auth => &["auth"],
            Self::Directory => &["directory"],
            Self::PayloadRegistration => &["payload-registration"],
            Self::RobotId => &["robot-id"],
            Self::Compositor => &["spot-cam-compositor"],
            Self::StreamQuality => &["spot-cam-stream-quality", "spot-cam-streamquality"],
            Self::Version => &["spot-cam-version"],
        }
    }

    /// Where it is before the directory can be read; `None` for what only the directory knows.
    pub fn fixed_authority(self) -> Option<Authority> {
        let name = match self {
            Self::Auth => "auth.spot.robot",
            Self::Directory => "api.spot.robot",
            Self::PayloadRegistration => "payload-registration.spot.robot",
            Self::RobotId => "id.spot.robot",
            Self::Compositor | Self::StreamQuality | Self::Version => return None,
        };
        Some(Authority(name.to_owned()))
    }

    /// Whether the Spot CAM offers it, not the robot itself.
    pub fn is_of_the_camera(self) -> bool {
        self.type_name().starts_with("bosdyn.api.spot_cam.")
    }
}

/// A name like `auth.spot.robot`: at once the TLS server name, the certificate's name and HTTP/2's `:authority`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authority(String);

impl Authority {
    /// As it stands in TLS and HTTP/2.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read '{0}' as the authority of a service: it is not a host name")]
pub struct NotAnAuthority(String);

impl FromStr for Authority {
    type Err = NotAnAuthority;

    /// Host names as RFC 1123 section 2.1 has them, in lower case.
    fn from_str(text: &str) -> Result<Self, NotAnAuthority> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= 253 && text.split('.').all(is_label) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NotAnAuthority(text.chars().take(80).collect()))
        }
    }
}

/// One line of the robot's directory, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Such as `spot-cam-stream-quality`.
    pub name: String,
    /// Such as `bosdyn.api.spot_cam.StreamQualityService`; empty in old entries.
    pub service_type: String,
    /// Such as `api.spot.robot`.
    pub authority: String,
}

/// Why a service cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The directory lists no such service.
    #[error("the robot has no service '{}'{}", .0.type_name(), hint(*.0))]
    Missing(Service),
    /// It does, with an authority that is none.
    #[error("failed to use the directory's entry for '{}'", .service.type_name())]
    Entry {
        /// The service.
        service: Service,
        /// Why.
        source: NotAnAuthority,
    },
}

impl Error {
    /// A stable machine word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing(service) if service.is_of_the_camera() => "no-spot-cam",
            Self::Missing(_) => "no-service",
            Self::Entry { .. } => "bad-directory",
        }
    }

    /// A Spot CAM registers itself some time after the robot has booted, so all of these can pass.
    pub fn is_retryable(&self) -> bool {
        true
    }
}

fn hint(service: Service) -> &'static str {
    if service.is_of_the_camera() {
        ": no Spot CAM is fitted, it is still starting, or it is not authorized on the robot's Payloads page"
    } else {
        ""
    }
}

/// The robot's directory of services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory(Vec<Entry>);

impl Directory {
    /// From the robot's answer.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// Every line, for reports.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Where `service` answers: by type, then by name, then by what is fixed.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Entry`].
    pub fn authority(&self, service: Service) -> Result<Authority, Error> {
        let named = |entry: &&Entry| service.usual_names().contains(&entry.name.as_str());
        let typed = || {
            self.0
                .iter()
                .filter(|entry| entry.service_type == service.type_name())
        };
        let entry = typed()
            .find(named)
            .or_else(|| typed().next())
            .or_else(|| self.0.iter().find(named));
        match entry {
            Some(entry) => entry
                .authority
                .parse()
                .map_err(|source| Error::Entry { service, source }),
            None => service.fixed_authority().ok_or(Error::Missing(service)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, service_type: &str, authority: &str) -> Entry {
        Entry {
            name: name.into(),
            service_type: service_type.into(),
            authority: authority.into(),
        }
    }

    #[test]
    fn a_service_is_found_by_its_type_whatever_its_name() {
        let directory = Directory::new(vec![
            entry("spot-cam-stream-quality", "vendor.Other", "wrong.spot.robot"),
            entry(
                "cam-quality-2",
                "bosdyn.api.spot_cam.StreamQualityService",
                "cam.spot.robot",
            ),
        ]);
        assert_eq!(
            directory.authority(Service::StreamQuality).unwrap().as_str(),
            "cam.spot.robot"
        );
    }

    #[test]
    fn of_two_with_the_type_the_usual_name_wins() {
        let service_type = "bosdyn.api.spot_cam.CompositorService";
        let directory = Directory::new(vec![
            entry("lab-compositor", service_type, "lab.spot.robot"),
            entry("spot-cam-compositor", service_type, "cam.spot.robot"),
        ]);
        assert_eq!(
            directory.authority(Service::Compositor).unwrap().as_str(),
            "cam.spot.robot"
        );
    }

    #[test]
    fn an_entry_without_a_type_is_found_by_either_of_its_names() {
        for name in ["spot-cam-stream-quality", "spot-cam-streamquality"] {
            let directory = Directory::new(vec![entry(name, "", "cam.spot.robot")]);
            assert_eq!(
                directory.authority(Service::StreamQuality).unwrap().as_str(),
                "cam.spot.robot"
            );
        }
    }

    #[test]
    fn what_leads_to_the_directory_needs_no_directory() {
        let empty = Directory::default();
        assert_eq!(
            empty.authority(Service::Auth).unwrap().as_str(),
            "auth.spot.robot"
        );
        assert_eq!(
            empty.authority(Service::Directory).unwrap().as_str(),
            "api.spot.robot"
        );
        let error = empty.authority(Service::StreamQuality).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), ("no-spot-cam", true));
        assert!(error.to_string().contains("Payloads page"));
    }

    #[test]
    fn an_authority_that_is_no_host_name_is_an_error_and_not_a_header() {
        for wrong in [
            "",
            "a b",
            "api.spot.robot:443",
            "x\r\nheader: y",
            "-a.b",
            "a..b",
            "a/b",
        ] {
            assert!(wrong.parse::<Authority>().is_err(), "{wrong:?}");
            let directory = Directory::new(vec![entry("spot-cam-version", "", wrong)]);
            assert_eq!(
                directory.authority(Service::Version).unwrap_err().kind(),
                "bad-directory"
            );
        }
    }
}
