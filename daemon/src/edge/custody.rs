//! The camera's settings from before us, kept on disk.
//!
//! One file for all robots, by serial number: what was borrowed of one robot is never put on another.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spotstream_core::robot::custody::{Loan, Setting, Settings};
use spotstream_core::robot::stream_parameters::{Frames, StreamParameters};
use spotstream_core::units::Bitrate;

use super::files::write_atomically;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("failed to read the camera's old settings in '{}'", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be. It is left as it is.
    #[error("failed to understand the camera's old settings in '{}': {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The work on the file ended early.
    #[error("failed to finish with the camera's old settings")]
    Unfinished(#[source] io::Error),
    /// A record cannot be kept, so nothing may be changed.
    #[error("failed to keep the camera's old settings in '{}'", .path.display())]
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
            Self::Read { .. } => "custody-unreadable",
            Self::Malformed { .. } => "custody-malformed",
            Self::Unfinished(_) => "custody-unfinished",
            Self::Write { .. } => "custody-unwritable",
        }
    }

    /// Whether the same try can end differently without a person.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Write { .. } | Self::Unfinished(_) => true,
            Self::Read { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// The file of records.
#[derive(Clone, Debug)]
pub struct CustodyFile {
    path: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Records {
    robot: BTreeMap<String, Record>,
}

/// Field names carry the unit.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Record {
    borrowed: Vec<String>,
    target_bitrate_bps: Option<u64>,
    refresh_interval_frames: Option<i64>,
    idr_interval_frames: Option<i64>,
    awb_mode: Option<String>,
    screen: Option<String>,
}

impl CustodyFile {
    /// Keeps the records in `path`, which need not exist yet; its folder must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What was borrowed of the robot with this serial number; empty if nothing was.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`].
    pub fn load(&self, serial_number: &str) -> Result<Loan, Error> {
        let mut records = self.read()?;
        let record = records.robot.remove(serial_number).unwrap_or_default();
        record.loan().map_err(|reason| self.malformed(reason))
    }

    /// Keeps what is borrowed of this robot; an empty loan removes its record. When this returns, it is on disk.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn save(&self, serial_number: &str, loan: &Loan) -> Result<(), Error> {
        let mut records = self.read()?;
        if loan.is_empty() {
            records.robot.remove(serial_number);
        } else {
            records.robot.insert(serial_number.to_owned(), Record::of(loan));
        }
        toml::to_string(&records)
            .map_err(io::Error::other)
            .and_then(|text| write_atomically(&self.path, text.as_bytes(), 0o600))
            .map_err(|source| Error::Write {
                path: self.path.clone(),
                source,
            })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Records, Error> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => toml::from_str(&text).map_err(|error| self.malformed(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Records::default()),
            Err(source) => Err(Error::Read {
                path: self.path.clone(),
                source,
            }),
        }
    }

    fn malformed(&self, reason: String) -> Error {
        Error::Malformed {
            path: self.path.clone(),
            reason,
        }
    }
}

impl Record {
    fn of(loan: &Loan) -> Self {
        let Settings { parameters, screen } = &loan.theirs;
        Self {
            borrowed: loan
                .borrowed
                .iter()
                .map(|setting| setting.name().to_owned())
                .collect(),
            target_bitrate_bps: parameters.target_bitrate.map(Bitrate::as_bps),
            refresh_interval_frames: parameters.refresh_interval.map(|frames| frames.0),
            idr_interval_frames: parameters.idr_interval.map(|frames| frames.0),
            awb_mode: parameters.awb.map(|mode| mode.name().to_owned()),
            screen: screen.as_ref().map(ToString::to_string),
        }
    }

    fn loan(self) -> Result<Loan, String> {
        let setting = |name: String| {
            Setting::ALL
                .into_iter()
                .find(|setting| setting.name() == name)
                .ok_or_else(|| format!("there is no setting '{name}'"))
        };
        Ok(Loan {
            borrowed: self
                .borrowed
                .into_iter()
                .map(setting)
                .collect::<Result<BTreeSet<_>, _>>()?,
            theirs: Settings {
                parameters: StreamParameters {
                    target_bitrate: self.target_bitrate_bps.map(Bitrate::bps),
                    refresh_interval: self.refresh_interval_frames.map(Frames),
                    idr_interval: self.idr_interval_frames.map(Frames),
                    awb: parse(self.awb_mode)?,
                },
                screen: parse(self.screen)?,
            },
        })
    }
}

fn parse<T: std::str::FromStr<Err: ToString>>(text: Option<String>) -> Result<Option<T>, String> {
    text.map(|text| text.parse().map_err(|error: T::Err| error.to_string()))
        .transpose()
}

#[cfg(test)]
mod tests {
    use spotstream_core::robot::stream_parameters::AwbMode;

    use super::*;

    fn loan() -> Loan {
        Loan {
            borrowed: Setting::ALL.into_iter().collect(),
            theirs: Settings {
                parameters: StreamParameters {
                    target_bitrate: Some(Bitrate::bps(2_345_678)),
                    refresh_interval: None,
                    idr_interval: Some(Frames(0)),
                    awb: Some(AwbMode::Off),
                },
                screen: Some("mech_full".parse().unwrap()),
            },
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written_and_belongs_to_one_robot() {
        let folder = tempfile::tempdir().unwrap();
        let file = CustodyFile::new(folder.path().join("custody.toml"));
        assert_eq!(file.load("spot-1").unwrap(), Loan::default());
        file.save("spot-1", &loan()).unwrap();
        assert_eq!(file.load("spot-1").unwrap(), loan());
        assert_eq!(file.load("spot-2").unwrap(), Loan::default());
        file.save("spot-2", &Loan::default()).unwrap();
        assert_eq!(file.load("spot-1").unwrap(), loan());
        file.save("spot-1", &Loan::default()).unwrap();
        assert_eq!(file.load("spot-1").unwrap(), Loan::default());
    }

    #[test]
    fn a_record_that_is_not_understood_is_told_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("custody.toml");
        let file = CustodyFile::new(&path);
        for damaged in [
            "[robot",
            "[robot.a]\nborrowed = [\"zoom\"]",
            "[robot.a]\nawb_mode = \"sunny\"",
            "x = 1",
        ] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(
                file.load("a").unwrap_err().kind(),
                "custody-malformed",
                "{damaged}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
        std::fs::write(&path, "x = 1").unwrap();
        assert!(file.save("a", &loan()).is_err());
    }
}
