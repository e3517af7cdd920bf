//! The compositor's screens: which camera, or arrangement of cameras, fills the picture.

use std::fmt;
use std::str::FromStr;

/// The name of a screen, such as `mech_full`. Which ones exist depends on the camera's model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScreenName(String);

impl ScreenName {
    /// As it goes on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScreenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot be the name of a screen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no name of a screen: it has 1 to 64 letters, digits, '_' or '-'")]
pub struct NotAScreenName(String);

impl FromStr for ScreenName {
    type Err = NotAScreenName;

    fn from_str(text: &str) -> Result<Self, NotAScreenName> {
        let is_name = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAScreenName(text.chars().take(80).collect()))
        }
    }
}

/// The camera has no such screen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the camera has no screen '{wanted}'; it has {}", list(.available))]
pub struct UnknownScreen {
    /// What was asked for.
    pub wanted: ScreenName,
    /// What there is.
    pub available: Vec<ScreenName>,
}

impl UnknownScreen {
    /// A stable machine word.
    pub fn kind(&self) -> &'static str {
        "unknown-screen"
    }

    /// Another camera may have it, this one will not.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

fn list(screens: &[ScreenName]) -> String {
    if screens.is_empty() {
        return "none at all".to_owned();
    }
    screens
        .iter()
        .map(ScreenName::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Takes `wanted` if the camera has it.
///
/// # Errors
/// [`UnknownScreen`] with what there is instead.
pub fn choose(wanted: &ScreenName, available: &[ScreenName]) -> Result<ScreenName, UnknownScreen> {
    available
        .iter()
        .find(|screen| *screen == wanted)
        .cloned()
        .ok_or_else(|| UnknownScreen {
            wanted: wanted.clone(),
            available: available.to_vec(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(name: &str) -> ScreenName {
        name.parse().unwrap()
    }

    #[test]
    fn a_screen_that_is_not_there_is_answered_with_those_that_are() {
        let available = [screen("mech"), screen("pano_full")];
        assert_eq!(choose(&screen("pano_full"), &available), Ok(screen("pano_full")));
        let error = choose(&screen("full_pano"), &available).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the camera has no screen 'full_pano'; it has mech, pano_full"
        );
        let error = choose(&screen("mech"), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the camera has no screen 'mech'; it has none at all"
        );
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused_before_the_camera_sees_it() {
        for wrong in ["", "mech full", "mech\n", "ü", &"x".repeat(65)] {
            assert!(wrong.parse::<ScreenName>().is_err(), "{wrong:?}");
        }
    }
}
