//! Clock comparison, as NTP does it: two trips are enough.

use std::time::SystemTime;

use prost_types::{Duration, Timestamp};
use tonic::{Request, Response};

use super::{Answer, done};
use crate::proto::api::time_sync_service_server::TimeSyncService;
use crate::proto::api::time_sync_state::Status;
use crate::proto::api::{
    TimeSyncEstimate, TimeSyncRoundTrip, TimeSyncState, TimeSyncUpdateRequest, TimeSyncUpdateResponse,
};
use crate::world::World;

#[tonic::async_trait]
impl TimeSyncService for World {
    async fn time_sync_update(
        &self,
        request: Request<TimeSyncUpdateRequest>,
    ) -> Answer<TimeSyncUpdateResponse> {
        let request = request.into_inner();
        let previous = request.previous_round_trip.and_then(estimate);
        let status = if previous.is_some() {
            Status::Ok
        } else {
            Status::MoreSamplesNeeded
        };
        let clock_identifier = match request.clock_identifier {
            empty if empty.is_empty() => format!("clock-{}", crate::unix_ms()),
            known => known,
        };
        let state = TimeSyncState {
            best_estimate: previous,
            status: status.into(),
            measurement_time: Some(SystemTime::now().into()),
        };
        Ok(Response::new(TimeSyncUpdateResponse {
            header: done(request.header),
            previous_estimate: previous,
            state: Some(state),
            clock_identifier,
        }))
    }
}

fn estimate(trip: TimeSyncRoundTrip) -> Option<TimeSyncEstimate> {
    let [out, arrived, answered, back] =
        [trip.client_tx?, trip.server_rx?, trip.server_tx?, trip.client_rx?].map(|time| nanoseconds(&time));
    let round_trip = (back - out) - (answered - arrived);
    let skew = ((arrived - out) + (answered - back)) / 2;
    Some(TimeSyncEstimate {
        round_trip_time: Some(duration(round_trip)),
        clock_skew: Some(duration(skew)),
    })
}

fn nanoseconds(time: &Timestamp) -> i64 {
    time.seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(time.nanos))
}

fn duration(nanoseconds: i64) -> Duration {
    let nanos = i32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0);
    Duration {
        seconds: nanoseconds / 1_000_000_000,
        nanos,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_shows_its_lead_and_the_trip_its_length() {
        let at = |ms: i64| {
            Some(Timestamp {
                seconds: ms / 1000,
                nanos: i32::try_from(ms % 1000 * 1_000_000).unwrap(),
            })
        };
        let trip = TimeSyncRoundTrip {
            client_tx: at(10_000),
            server_rx: at(15_010),
            server_tx: at(15_030),
            client_rx: at(10_040),
        };
        let estimate = estimate(trip).unwrap();
        assert_eq!(
            estimate.round_trip_time,
            Some(Duration {
                seconds: 0,
                nanos: 20_000_000
            })
        );
        assert_eq!(estimate.clock_skew, Some(Duration { seconds: 5, nanos: 0 }));
    }
}
