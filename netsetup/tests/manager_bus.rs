//! What is kept of NetworkManager's signals, on a private dbus-daemon. NetworkManager is played: the real one goes through
//! these states only with a radio.
#![cfg(feature = "fault-points")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::time::Duration;

use netsetup::edge::manager::{Changed, Failures, Manager};
use test_bus::Bus;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant, connection, interface};

const NAME: &str = "org.freedesktop.NetworkManager";
const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
const WLAN: &str = "/org/freedesktop/NetworkManager/Devices/3";
const SOON: Duration = Duration::from_secs(10);

/// How a refused password looks to who asks: new state, old state, reason.
const REFUSED: [(u32, u32, u32); 4] = [(50, 40, 0), (60, 50, 8), (120, 60, 7), (30, 120, 0)];

/// A WiFi device at rest, whatever has happened to it.
struct Objects;

#[interface(name = "org.freedesktop.DBus.ObjectManager")]
impl Objects {
    fn get_managed_objects(
        &self,
    ) -> HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>> {
        let owned = |value: Variant<'static>| OwnedVariant::try_from(value).unwrap();
        let properties = [
            ("DeviceType", owned(2_u32.into())),
            ("Interface", owned("wlan1".into())),
            ("State", owned(30_u32.into())),
            ("StateReason", owned((30_u32, 0_u32).into())),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value)).into();
        let path = OwnedObjectPath::try_from(WLAN).unwrap();
        HashMap::from([(path, HashMap::from([(DEVICE.to_owned(), properties)]))])
    }
}

async fn network_manager(bus: &Bus) -> Connection {
    connection::Builder::address(bus.address())
        .serve_at("/org/freedesktop", Objects)
        .name(NAME)
        .build()
        .await
        .unwrap()
}

async fn goes_through(network_manager: &Connection, states: &[(u32, u32, u32)]) {
    for state in states {
        network_manager
            .emit_signal(None::<&str>, WLAN, DEVICE, "StateChanged", state)
            .await
            .unwrap();
    }
}

async fn until_failure_is(manager: &Manager, expected: Option<u32>) {
    let seen = async {
        loop {
            let seen = manager.observe().await.unwrap();
            let devices = seen.map(|manager| manager.devices).unwrap_or_default();
            if devices.first().map(|device| device.failure) == Some(expected) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, seen)
        .await
        .unwrap_or_else(|_| panic!("the failure did not become {expected:?}"));
}

#[tokio::test]
async fn a_failure_of_milliseconds_is_still_known_to_who_looks_later() {
    let bus = Bus::open();
    let playing = network_manager(&bus).await;
    // As in the run loop: one listens, another one looks.
    let failures = Failures::default();
    let listener = Manager::connect(Some(bus.address()), failures.clone())
        .await
        .unwrap();
    let looker = Manager::connect(Some(bus.address()), failures).await.unwrap();
    let (notices, mut changed) = mpsc::channel(1);
    tokio::spawn(async move { listener.watch(notices).await });
    assert_eq!(
        timeout(SOON, changed.recv()).await.expect("it listens"),
        Some(Changed)
    );
    until_failure_is(&looker, None).await;

    // Nobody takes a notice meanwhile.
    for _ in 0..100 {
        goes_through(&playing, &REFUSED).await;
    }
    until_failure_is(&looker, Some(7)).await;
    assert_eq!(
        timeout(SOON, changed.recv()).await.expect("a notice"),
        Some(Changed)
    );

    goes_through(&playing, &[(40, 30, 0), (50, 40, 0)]).await;
    goes_through(&playing, &[(120, 50, 11), (30, 120, 0)]).await;
    until_failure_is(&looker, Some(11)).await;
    goes_through(&playing, &[(100, 90, 0)]).await;
    until_failure_is(&looker, None).await;

    goes_through(&playing, &REFUSED).await;
    until_failure_is(&looker, Some(7)).await;
    drop(playing);
    // The same path is another device by now.
    let _again = network_manager(&bus).await;
    until_failure_is(&looker, None).await;
}
