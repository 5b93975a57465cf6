//! Resolves names of servers, except to addresses of cloud metadata services, which return credentials.
//!
//! The owner of a name can make it resolve to any address, also between two requests. Link-local addresses, which
//! metadata services use, belong to no server of files or records; a server at such an address must be configured by
//! its IP address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services at other than link-local addresses.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// The resolver of the system without those addresses.
#[derive(Clone, Copy, Debug)]
pub struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(allowed(found)?.into_iter()) as Addrs)
        })
    }
}

fn allowed(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, &'static str> {
    let allowed: Vec<SocketAddr> = found.filter(|address| !is_of_the_link(address.ip())).collect();
    if allowed.is_empty() { Err("the name resolves to no permitted address") } else { Ok(allowed) }
}

/// Whether an address is link-local, unspecified, or that of a metadata service, in any notation.
fn is_of_the_link(address: IpAddr) -> bool {
    if METADATA.contains(&address) {
        return true;
    }
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified() || address.is_broadcast(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.is_multicast()
                || address.is_unspecified()
                || embedded(address).is_some_and(|inner| is_of_the_link(IpAddr::V4(inner)))
        }
    }
}

/// The IPv4 address in an IPv6 address: mapped, compatible, translated (64:ff9b::/96) or tunnelled (2002::/16).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] if (high, low) != (0, 1) => {
            Some(of(high, low))
        }
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_to_the_link() {
        let of = |addresses: &[&str]| {
            let found = addresses.iter().map(|one| SocketAddr::new(one.parse().expect("an address"), 0));
            allowed(found).map(|found| found.iter().map(|one| one.ip().to_string()).collect::<Vec<_>>())
        };
        for link in [
            "169.254.169.254",
            "169.254.170.2",
            "0.0.0.0",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "::ffff:0.0.0.0",
            "100.100.100.200",
        ] {
            assert!(of(&[link]).is_err(), "{link}");
            assert_eq!(of(&[link, "130.14.250.10"]).expect("one is left"), ["130.14.250.10"], "{link}");
        }
        for asked in
            ["130.14.250.10", "127.0.0.1", "10.0.0.1", "::1", "2607:f220:41e:250::10", "64:ff9b::130.14.250.10"]
        {
            assert!(of(&[asked]).is_ok(), "{asked}");
        }
    }
}
