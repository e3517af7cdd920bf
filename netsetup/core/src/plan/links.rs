//! The interfaces' own settings: who answers ARP for what, and where a packet may come in.

use super::scene::Scene;
use super::{Draft, Side, Step};
use crate::observed::{Link, LinkConf};

/// The robot's side. Overlapping networks make the way back look wrong, so the reverse path filter is off and the
/// firewall checks addresses; ARP is answered only for addresses of this interface, to hosts of its network.
const ROBOT: LinkConf = LinkConf {
    rp_filter: 0,
    arp_ignore: 2,
    arp_announce: 2,
    forwarding: 0,
};

/// The uplink: the same, but ARP is answered whatever network the asker is in.
const UPLINK: LinkConf = LinkConf {
    arp_ignore: 1,
    ..ROBOT
};

pub(super) fn compare(scene: &Scene<'_>, draft: &mut Draft) {
    let mut set = |link: Option<&Link>, side, conf| {
        if let Some(link) = link.filter(|link| link.conf != conf) {
            draft.push(side, Step::ConfigureLink(link.name.clone(), conf));
        }
    };
    set(scene.robot_link(), Side::Robot, ROBOT);
    set(scene.uplink_link(), Side::Uplink, UPLINK);
    if let (Some(wanted), Some(present)) = (scene.desired.country, scene.observed.country)
        && wanted != present
    {
        draft.push(Side::Neither, Step::SetCountry(wanted));
    }
}
