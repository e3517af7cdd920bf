//! The two JSON bodies of the camera's signalling.
//!
//! The camera offers and we answer: `GET /h264.sdp` brings `{"id": .., "sdp": base64}`, and the answer goes back to
//! the same address in the same form. Keys that are not known are ignored; firmware has sent others before.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::Serialize;
use serde_json::{Map, Value};

/// The port on which the camera, and the robot on its behalf, answers.
pub const PORT: u16 = 31102;

/// The path of the offer and of the answer.
pub const PATH: &str = "/h264.sdp";

/// The most that is read of a reply, in bytes. A real one has a few kilobytes.
pub const MAX_BODY: usize = 256 * 1024;

/// What the camera sent for our GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    id: Value,
    sdp: String,
}

/// Why a reply is not an invitation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The body is not JSON, or not an object.
    #[error("failed to read the camera's offer: the reply is not a JSON object ({0})")]
    NotJson(String),
    /// The object says that something went wrong instead of offering.
    #[error("the camera sent no offer: '{0}'")]
    Refused(String),
    /// A key is missing or has another type.
    #[error("failed to read the camera's offer: '{0}' is missing or has the wrong type")]
    Key(&'static str),
    /// The SDP is not base64 of UTF-8.
    #[error("failed to read the camera's offer: 'sdp' is not base64 of text")]
    Encoding,
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "offer-not-json",
            Self::Refused(_) => "offer-refused",
            Self::Key(_) => "offer-key",
            Self::Encoding => "offer-encoding",
        }
    }

    /// Whether the same request may succeed later. A camera that is still starting sends half-made replies.
    pub fn is_retryable(&self) -> bool {
        true
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a Value,
    sdp: String,
}

impl Invitation {
    /// Reads the body of the GET.
    ///
    /// # Errors
    /// Says which part of the body is not what it must be.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut reply: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| Error::NotJson(error.to_string()))?;
        let encoded = match (reply.remove("sdp"), reply.remove("error")) {
            (Some(Value::String(encoded)), _) => encoded,
            (None, Some(Value::String(why))) => return Err(Error::Refused(why.chars().take(200).collect())),
            _ => return Err(Error::Key("sdp")),
        };
        // A number goes back as the number it was.
        let id = reply
            .remove("id")
            .filter(|id| id.is_string() || id.is_number())
            .ok_or(Error::Key("id"))?;
        let compact: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let bytes = LENIENT.decode(compact).map_err(|_| Error::Encoding)?;
        let sdp = String::from_utf8(bytes).map_err(|_| Error::Encoding)?;
        Ok(Self { id, sdp })
    }

    /// The session description offered.
    pub fn sdp(&self) -> &str {
        &self.sdp
    }

    /// The body of the POST that answers this offer: `{"id": .., "sdp": base64}` and nothing else.
    pub fn answer(&self, sdp: &str) -> String {
        let answer = Answer {
            id: &self.id,
            sdp: STANDARD.encode(sdp),
        };
        // Two strings, or a number and a string: serializing them cannot fail.
        serde_json::to_string(&answer).unwrap_or_default()
    }
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(id: &str, sdp: &str) -> String {
        format!(
            r#"{{"command":"offer","id":{id},"sdp":"{}"}}"#,
            STANDARD.encode(sdp)
        )
    }

    #[test]
    fn an_offer_is_read_and_its_id_goes_back_in_the_answer() {
        let invitation = Invitation::parse(body("\"7f\"", "v=0\r\n").as_bytes()).unwrap();
        assert_eq!(invitation.sdp(), "v=0\r\n");
        assert_eq!(invitation.answer("v=0\r\n"), r#"{"id":"7f","sdp":"dj0wDQo="}"#);
    }

    #[test]
    fn a_number_as_id_goes_back_as_the_same_number() {
        let invitation = Invitation::parse(body("18446744073709551615", "v=0").as_bytes()).unwrap();
        assert_eq!(
            invitation.answer("v"),
            r#"{"id":18446744073709551615,"sdp":"dg=="}"#
        );
    }

    #[test]
    fn line_breaks_and_missing_padding_in_the_base64_are_forgiven() {
        let invitation = Invitation::parse(br#"{"id":"1","sdp":"dj0w\nDQo"}"#).unwrap();
        assert_eq!(invitation.sdp(), "v=0\r\n");
    }

    #[test]
    fn a_reply_that_is_no_offer_says_what_is_wrong() {
        assert_eq!(Invitation::parse(b"<html>").unwrap_err().kind(), "offer-not-json");
        assert_eq!(Invitation::parse(b"[]").unwrap_err().kind(), "offer-not-json");
        assert_eq!(Invitation::parse(br#"{"sdp":"dj0w"}"#), Err(Error::Key("id")));
        assert_eq!(Invitation::parse(br#"{"id":"1"}"#), Err(Error::Key("sdp")));
        assert_eq!(
            Invitation::parse(br#"{"id":"1","sdp":"%"}"#),
            Err(Error::Encoding)
        );
        let refused = Invitation::parse(br#"{"error":"no camera"}"#).unwrap_err();
        assert_eq!(refused.to_string(), "the camera sent no offer: 'no camera'");
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_invitation_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Invitation::parse(&bytes);
        }

        #[test]
        fn every_answer_can_be_read_back(id in "\\PC{1,20}", sdp in "\\PC{0,200}") {
            let id = serde_json::to_string(&id).unwrap();
            let invitation = Invitation::parse(body(&id, "v=0").as_bytes()).unwrap();
            let again = Invitation::parse(invitation.answer(&sdp).as_bytes()).unwrap();
            prop_assert_eq!(again.sdp(), sdp);
            prop_assert_eq!(again.id, invitation.id);
        }
    }
}
