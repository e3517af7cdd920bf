//! Between our values and the robot's messages.

use spotstream_core::robot::directory::{Directory, Entry};
use spotstream_core::robot::login::PayloadCredentials;
use spotstream_core::robot::stream_parameters::{AwbMode, Frames, StreamParameters};
use spotstream_core::secret::Secret;
use spotstream_core::units::Bitrate;
use tonic::metadata::{Ascii, MetadataValue};

use super::error::Error;
use super::proto::spot_cam::stream_params::{AwbMode as WireAwb, AwbModeEnum};
use super::proto::spot_cam::{self, StreamParams};
use super::proto::{self, ResponseHeader, common_error};
use super::{Identity, Registration};

/// An answer, which says in its header whether it is one.
pub(super) trait Reply {
    fn header(&self) -> Option<&ResponseHeader>;
}

macro_rules! replies {
    ($($message:path),* $(,)?) => {$(
        impl Reply for $message {
            fn header(&self) -> Option<&ResponseHeader> {
                self.header.as_ref()
            }
        }
    )*};
}

replies![
    proto::GetAuthTokenResponse,
    proto::GetPayloadAuthTokenResponse,
    proto::ListServiceEntriesResponse,
    proto::RegisterPayloadResponse,
    proto::RobotIdResponse,
    spot_cam::EnableCongestionControlResponse,
    spot_cam::GetScreenResponse,
    spot_cam::GetSoftwareVersionResponse,
    spot_cam::GetStreamParamsResponse,
    spot_cam::ListScreensResponse,
    spot_cam::SetScreenResponse,
    spot_cam::SetStreamParamsResponse,
];

/// Whether the header says that all is well.
pub(super) fn check(method: &'static str, reply: &impl Reply) -> Result<(), Error> {
    use common_error::Code;
    let error = reply
        .header()
        .and_then(|header| header.error.as_ref())
        .ok_or_else(|| Error::Answer {
            method,
            what: "it has no header".to_owned(),
        })?;
    match error.code() {
        Code::Ok => Ok(()),
        Code::InvalidRequest => Err(Error::InvalidRequest {
            method,
            message: error.message.clone(),
        }),
        Code::InternalServerError => Err(Error::Internal {
            method,
            message: error.message.clone(),
        }),
        Code::Unspecified => Err(no_status(method, error.code)),
    }
}

pub(super) fn no_status(method: &'static str, status: i32) -> Error {
    Error::Answer {
        method,
        what: format!("its status {status} is unknown"),
    }
}

pub(super) fn token(method: &'static str, token: String) -> Result<String, Error> {
    if token.is_empty() {
        return Err(Error::Answer {
            method,
            what: "the token is empty".to_owned(),
        });
    }
    Ok(token)
}

pub(super) fn bearer(token: &Secret) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {}", token.reveal())
            .parse()
            .map_err(|_| Error::Answer {
                method: "GetAuthToken",
                what: "the token cannot be put in a header".to_owned(),
            })?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn identity(id: proto::RobotId) -> Identity {
    let version = match id.software_release.and_then(|release| release.version) {
        Some(number) => version(number),
        None => id.version,
    };
    Identity {
        serial_number: id.serial_number,
        nickname: id.nickname,
        version,
    }
}

pub(super) fn version(version: proto::SoftwareVersion) -> String {
    format!(
        "{}.{}.{}",
        version.major_version, version.minor_version, version.patch_level
    )
}

pub(super) fn directory(reply: proto::ListServiceEntriesResponse) -> Directory {
    use proto::service_entry::ServiceType;
    let entry = |entry: proto::ServiceEntry| Entry {
        name: entry.name,
        service_type: match entry.service_type {
            Some(ServiceType::Type(name)) => name,
            None => String::new(),
        },
        authority: entry.authority,
    };
    Directory::new(reply.service_entries.into_iter().map(entry).collect())
}

/// The payload as an even box on its mount. Whether it is authorized and enabled is for the administrator to say.
pub(super) fn payload(guid: &str, registration: &Registration) -> proto::Payload {
    let [length, width, height] = registration.size;
    let (major_version, minor_version, patch_level) = registration.version;
    let centre = proto::Vec3 {
        x: 0.0,
        y: 0.0,
        z: height / 2.0,
    };
    proto::Payload {
        guid: guid.to_owned(),
        name: registration.name.clone(),
        description: registration.description.clone(),
        label_prefix: vec!["spotstream".to_owned()],
        version: Some(proto::SoftwareVersion {
            major_version,
            minor_version,
            patch_level,
        }),
        mass_volume_properties: Some(proto::PayloadMassVolumeProperties {
            total_mass: registration.mass,
            com_pos_rt_payload: Some(centre),
            moi_tensor: Some(moment_of_inertia(registration)),
            bounding_box: vec![proto::Box3WithFrame {
                r#box: Some(proto::Box3 {
                    size: Some(proto::Vec3 {
                        x: length,
                        y: width,
                        z: height,
                    }),
                }),
                frame_name: "payload".to_owned(),
                frame_name_tform_box: Some(proto::Se3Pose {
                    position: Some(centre),
                    rotation: Some(proto::Quaternion {
                        x: 0.0,
                        y: 0.0,
                        z: 0.0,
                        w: 1.0,
                    }),
                }),
            }],
            joint_limits: Vec::new(),
        }),
        ..proto::Payload::default()
    }
}

/// Of an even box about its centre: m/12 (a² + b²).
#[expect(
    clippy::cast_possible_truncation,
    reason = "six digits of an inertia are five more than are known"
)]
fn moment_of_inertia(registration: &Registration) -> proto::MomentOfIntertia {
    let [length, width, height] = registration.size;
    let twelfth = f64::from(registration.mass) / 12.0;
    proto::MomentOfIntertia {
        xx: (twelfth * (width * width + height * height)) as f32,
        yy: (twelfth * (length * length + height * height)) as f32,
        zz: (twelfth * (length * length + width * width)) as f32,
        ..proto::MomentOfIntertia::default()
    }
}

/// Old robots read the credentials from the fields of their own, as the SDK's clients still write them.
pub(super) fn payload_token_request(
    header: Option<proto::RequestHeader>,
    payload: &PayloadCredentials,
) -> proto::GetPayloadAuthTokenRequest {
    let guid = payload.guid.clone();
    let secret = payload.secret.reveal().to_owned();
    proto::GetPayloadAuthTokenRequest {
        header,
        payload_guid: guid.clone(),
        payload_secret: secret.clone(),
        payload_credentials: Some(proto::PayloadCredentials { guid, secret }),
    }
}

pub(super) fn from_stream_params(
    method: &'static str,
    params: Option<StreamParams>,
) -> Result<StreamParameters, Error> {
    let wrong = |what: String| Error::Answer { method, what };
    let params = params.ok_or_else(|| wrong("it holds no parameters".to_owned()))?;
    Ok(StreamParameters {
        target_bitrate: params
            .targetbitrate
            .map(|bps| {
                u64::try_from(bps)
                    .map(Bitrate::bps)
                    .map_err(|_| wrong(format!("a bitrate of {bps} b/s")))
            })
            .transpose()?,
        refresh_interval: params.refreshinterval.map(Frames),
        idr_interval: params.idrinterval.map(Frames),
        awb: params
            .awb
            .map(|mode| {
                usize::try_from(mode.awb)
                    .ok()
                    .and_then(|number| AwbMode::ALL.get(number).copied())
                    .ok_or_else(|| wrong(format!("a white balance mode of number {}", mode.awb)))
            })
            .transpose()?,
    })
}

pub(super) fn to_stream_params(
    method: &'static str,
    parameters: &StreamParameters,
) -> Result<StreamParams, Error> {
    let bps = |bitrate: Bitrate| {
        i64::try_from(bitrate.as_bps()).map_err(|_| Error::InvalidRequest {
            method,
            message: format!("a bitrate of {bitrate}"),
        })
    };
    Ok(StreamParams {
        targetbitrate: parameters.target_bitrate.map(bps).transpose()?,
        refreshinterval: parameters.refresh_interval.map(|frames| frames.0),
        idrinterval: parameters.idr_interval.map(|frames| frames.0),
        awb: parameters.awb.map(|mode| WireAwb {
            awb: wire_awb(mode).into(),
        }),
        exposure: None,
    })
}

fn wire_awb(mode: AwbMode) -> AwbModeEnum {
    match mode {
        AwbMode::Off => AwbModeEnum::Off,
        AwbMode::Auto => AwbModeEnum::Auto,
        AwbMode::Incandescent => AwbModeEnum::Incandescent,
        AwbMode::Fluorescent => AwbModeEnum::Fluorescent,
        AwbMode::WarmFluorescent => AwbModeEnum::WarmFluorescent,
        AwbMode::Daylight => AwbModeEnum::Daylight,
        AwbMode::Cloudy => AwbModeEnum::Cloudy,
        AwbMode::Twilight => AwbModeEnum::Twilight,
        AwbMode::Shade => AwbModeEnum::Shade,
        AwbMode::Dark => AwbModeEnum::Dark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_balance_off_is_sent_and_not_left_out() {
        let off = StreamParameters {
            awb: Some(AwbMode::Off),
            ..StreamParameters::default()
        };
        let params = to_stream_params("SetStreamParams", &off).unwrap();
        assert_eq!(params.awb, Some(WireAwb { awb: 0 }));
        assert_eq!(params.targetbitrate, None);
        let bytes = prost::Message::encode_to_vec(&params);
        let decoded: StreamParams = prost::Message::decode(bytes.as_slice()).unwrap();
        assert_eq!(from_stream_params("GetStreamParams", Some(decoded)).unwrap(), off);
    }

    #[test]
    fn every_white_balance_mode_survives_the_wire() {
        for mode in AwbMode::ALL {
            let parameters = StreamParameters {
                awb: Some(mode),
                ..StreamParameters::default()
            };
            let params = to_stream_params("SetStreamParams", &parameters).unwrap();
            assert_eq!(
                from_stream_params("GetStreamParams", Some(params)).unwrap(),
                parameters
            );
        }
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error_with_its_reason() {
        let negative = StreamParams {
            targetbitrate: Some(-1),
            ..StreamParams::default()
        };
        let unknown = StreamParams {
            awb: Some(WireAwb { awb: 77 }),
            ..StreamParams::default()
        };
        for params in [Some(negative), Some(unknown), None] {
            assert_eq!(
                from_stream_params("GetStreamParams", params).unwrap_err().kind(),
                "bad-answer"
            );
        }
    }

    #[test]
    fn a_zero_in_the_header_is_no_ok() {
        let header = |code| ResponseHeader {
            error: Some(proto::CommonError {
                code,
                ..proto::CommonError::default()
            }),
            ..ResponseHeader::default()
        };
        let reply = |header| proto::RobotIdResponse {
            header,
            robot_id: None,
        };
        let kind = |header| {
            check("GetRobotId", &reply(header))
                .err()
                .map(|error| error.kind())
        };
        assert_eq!(kind(Some(header(1))), None);
        assert_eq!(kind(Some(header(0))), Some("bad-answer"));
        assert_eq!(kind(Some(header(2))), Some("robot-error"));
        assert_eq!(kind(Some(header(3))), Some("invalid-request"));
        assert_eq!(kind(Some(header(99))), Some("bad-answer"));
        assert_eq!(kind(None), Some("bad-answer"));
    }
}
