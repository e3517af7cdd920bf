//! From where a connection is made: which interface, and which address of ours.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::SockRef;
use spotstream_core::supervise::network::Footing;

/// Our end of the connections to one side. By default the routing table chooses both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// Such as `eth0`, by `SO_BINDTODEVICE`. With it no packet can leave by another one, whatever the routes say.
    pub interface: Option<String>,
    /// An address of ours.
    pub address: Option<IpAddr>,
}

impl Bind {
    /// This, and what it leaves open as netsetup says: that holds for one attempt, as cables move. An interface that a
    /// person has named stays, and then netsetup's address for another one is of no use.
    #[must_use]
    pub fn standing_on(&self, footing: Option<&Footing>) -> Self {
        let Some(Footing { interface, address }) = footing else {
            return self.clone();
        };
        match &self.interface {
            Some(named) if named != interface.as_str() => self.clone(),
            Some(_) | None => Self {
                interface: Some(interface.to_string()),
                address: self.address.or(Some(*address)),
            },
        }
    }

    /// The address to connect to `host` from, when there is one of its family.
    pub fn address_for(&self, host: SocketAddr) -> Option<IpAddr> {
        self.address.filter(|address| address.is_ipv4() == host.is_ipv4())
    }

    /// The local address from which the kernel reaches `host`. Asking sends nothing.
    ///
    /// # Errors
    /// There is no route to the host, no such interface, or the address is not ours.
    pub fn local_address(&self, host: SocketAddr) -> io::Result<IpAddr> {
        let any: IpAddr = if host.is_ipv4() {
            [0, 0, 0, 0].into()
        } else {
            [0_u16; 8].into()
        };
        let socket = UdpSocket::bind((self.address_for(host).unwrap_or(any), 0))?;
        self.apply(&socket)?;
        socket.connect(host)?;
        Ok(socket.local_addr()?.ip())
    }

    /// Ties a socket to the interface.
    ///
    /// # Errors
    /// No such interface.
    pub fn apply(&self, socket: &UdpSocket) -> io::Result<()> {
        match &self.interface {
            Some(name) => SockRef::from(socket).bind_device(Some(name.as_bytes())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use spotstream_core::names::InterfaceName;

    use super::*;

    fn on(interface: &str) -> Bind {
        Bind {
            interface: Some(interface.to_owned()),
            address: None,
        }
    }

    #[test]
    fn the_local_address_is_the_one_that_faces_the_host_or_the_one_that_was_said() {
        let host = SocketAddr::from(([127, 0, 0, 1], 31102));
        let mut bind = on("lo");
        assert_eq!(bind.local_address(host).unwrap(), IpAddr::from([127, 0, 0, 1]));
        bind.address = Some([127, 0, 0, 9].into());
        assert_eq!(bind.local_address(host).unwrap(), IpAddr::from([127, 0, 0, 9]));
        // It is of no use for a host of the other family.
        bind.address = Some([0, 0, 0, 0, 0, 0, 0, 1_u16].into());
        assert_eq!(bind.local_address(host).unwrap(), IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn an_interface_that_is_not_there_and_an_address_that_is_not_ours_are_errors() {
        let host = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(on("nowhere0").local_address(host).is_err());
        let foreign = Bind {
            interface: None,
            address: Some([192, 0, 2, 1].into()),
        };
        assert!(foreign.local_address(host).is_err());
    }

    #[test]
    fn netsetup_fills_in_what_a_person_has_left_open() {
        let footing = Footing {
            interface: InterfaceName::parse("eth0").unwrap(),
            address: [192, 168, 50, 21].into(),
        };
        let filled = Bind {
            interface: Some("eth0".to_owned()),
            address: Some([192, 168, 50, 21].into()),
        };
        assert_eq!(Bind::default().standing_on(Some(&footing)), filled);
        assert_eq!(on("eth0").standing_on(Some(&footing)), filled);
        assert_eq!(on("eth1").standing_on(Some(&footing)), on("eth1"));
        assert_eq!(on("eth0").standing_on(None), on("eth0"));
    }
}
