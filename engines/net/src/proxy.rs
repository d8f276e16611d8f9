//! The PROXY protocol, versions 1 and 2: what a balancer says about the client before the client's bytes.
//!
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>; numbers in comments are its sections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, with its line end (2.1).
const V1_BYTES_MAX: usize = 107;
/// The longest header of version 2 that is taken; the addresses need 52 bytes, the rest is for options.
const V2_BYTES_MAX: usize = 4096;
/// Version 2 begins with this (2.2).
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes that a header may have.
pub(crate) const HEADER_BYTES_MAX: usize = V2_BYTES_MAX;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// More bytes are needed.
    Unfinished,
    /// A header of so many bytes.
    Header {
        len: usize,
        /// Client and server as the balancer sees them; `None` where it speaks for itself (`LOCAL`,
        /// `UNKNOWN`), as in health checks.
        addresses: Option<(SocketAddr, SocketAddr)>,
    },
    /// No header, or a damaged one.
    Bad(&'static str),
}

/// Reads the header at the front of `input`.
pub(crate) fn parse(input: &[u8]) -> Parsed {
    let n = input.len().min(V2_SIGNATURE.len());
    if input[..n] == V2_SIGNATURE[..n] {
        return if input.len() < 16 { Parsed::Unfinished } else { parse_v2(input) };
    }
    let n = input.len().min(6);
    if input[..n] == b"PROXY "[..n] {
        return parse_v1(input);
    }
    Parsed::Bad("no PROXY header came first")
}

fn parse_v1(input: &[u8]) -> Parsed {
    let line = &input[..input.len().min(V1_BYTES_MAX)];
    let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
        return match line.len() < V1_BYTES_MAX {
            true => Parsed::Unfinished,
            false => Parsed::Bad("a PROXY header of version 1 has at most 107 bytes (2.1)"),
        };
    };
    let bad = Parsed::Bad("a damaged PROXY header of version 1 (2.1)");
    let Ok(text) = std::str::from_utf8(&line[..end]) else { return bad };
    let parts: Vec<_> = text.split(' ').collect();
    let addresses = match parts[..] {
        [_, "UNKNOWN", ..] => None,
        [_, family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let address = |ip: &str, port: &str| {
                let ip: IpAddr = ip.parse().ok()?;
                // Ports have no leading zeros or signs, but a balancer that writes some does no harm.
                Some(SocketAddr::new(ip, port.parse().ok()?)).filter(|_| ip.is_ipv4() == (family == "TCP4"))
            };
            match address(from, from_port).zip(address(to, to_port)) {
                Some(both) => Some(both),
                None => return bad,
            }
        }
        _ => return bad,
    };
    Parsed::Header { len: end + 2, addresses }
}

fn parse_v2(input: &[u8]) -> Parsed {
    let (version, command, family) = (input[12] >> 4, input[12] & 15, input[13]);
    let len = 16 + usize::from(u16::from_be_bytes([input[14], input[15]]));
    if version != 2 || command > 1 {
        return Parsed::Bad("a PROXY header of an unknown version or command (2.2)");
    }
    if len > V2_BYTES_MAX {
        return Parsed::Bad("a PROXY header of version 2 with more than 4096 bytes");
    }
    let Some(body) = input.get(16..len) else { return Parsed::Unfinished };
    let addresses = match (command, family) {
        (0, _) => None,
        (_, 0x11) => read_addresses::<4>(body, |ip| Ipv4Addr::from(ip).into()),
        (_, 0x21) => read_addresses::<16>(body, |ip| Ipv6Addr::from(ip).into()),
        // Of other families nothing can be said; the connection is taken as the balancer's own (2.2).
        _ => return Parsed::Header { len, addresses: None },
    };
    if command == 1 && addresses.is_none() {
        return Parsed::Bad("a PROXY header of version 2 too short for its addresses (2.2)");
    }
    Parsed::Header { len, addresses }
}

fn read_addresses<const N: usize>(
    body: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Option<(SocketAddr, SocketAddr)> {
    let (from, rest) = body.split_first_chunk::<N>()?;
    let (to, rest) = rest.split_first_chunk::<N>()?;
    let (from_port, rest) = rest.split_first_chunk::<2>()?;
    let (to_port, _) = rest.split_first_chunk::<2>()?;
    let address = |bytes: &[u8; N], port: &[u8; 2]| SocketAddr::new(ip(*bytes), u16::from_be_bytes(*port));
    Some((address(from, from_port), address(to, to_port)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = V2_SIGNATURE.to_vec();
        header.extend([0x20 | command, family]);
        header.extend((body.len() as u16).to_be_bytes());
        header.extend(body);
        header
    }

    fn tcp4() -> (SocketAddr, SocketAddr) {
        ("192.0.2.7:56324".parse().unwrap(), "198.51.100.1:443".parse().unwrap())
    }

    fn whole(input: &[u8]) -> Parsed {
        for cut in 0..input.len() {
            assert_eq!(parse(&input[..cut]), Parsed::Unfinished, "cut at {cut}");
        }
        let mut more = input.to_vec();
        more.extend(b"GET / HTTP/1.1\r\n");
        assert_eq!(parse(&more), parse(input), "what follows is not looked at");
        parse(input)
    }

    #[test]
    fn version_1_names_the_client() {
        let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
        assert_eq!(whole(header), Parsed::Header { len: header.len(), addresses: Some(tcp4()) });
        let header = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        let addresses = Some(("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap()));
        assert_eq!(whole(header), Parsed::Header { len: header.len(), addresses });
        let header = b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n";
        assert_eq!(whole(header), Parsed::Header { len: header.len(), addresses: None });
        assert_eq!(whole(b"PROXY UNKNOWN\r\n"), Parsed::Header { len: 15, addresses: None });
    }

    #[test]
    fn version_2_names_the_client() {
        let body = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
        let header = v2(1, 0x11, &body);
        assert_eq!(whole(&header), Parsed::Header { len: 28, addresses: Some(tcp4()) });
        let with_options = [&body[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(whole(&v2(1, 0x11, &with_options)), Parsed::Header { len: 35, addresses: Some(tcp4()) });
        assert_eq!(whole(&v2(0, 0, &[])), Parsed::Header { len: 16, addresses: None });
        assert_eq!(whole(&v2(1, 0x31, &[0; 216])), Parsed::Header { len: 232, addresses: None });
    }

    #[test]
    fn damaged_headers_are_refused() {
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n",
            b"PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n",
            &[&b"PROXY "[..], &[b'x'; 101]].concat(),
            &v2(1, 0x11, &[0; 11]),
            &v2(2, 0x11, &[0; 12]),
            &v2(1, 0x11, &[0; 5000]),
        ] {
            assert!(matches!(parse(bad), Parsed::Bad(_)), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn noise_is_read_without_a_panic(noise in prop::collection::vec(any::<u8>(), 0..300), kind in 0..3) {
            let start: &[u8] = match kind { 0 => b"", 1 => b"PROXY ", _ => V2_SIGNATURE };
            if let Parsed::Header { len, .. } = parse(&[start, &noise].concat()) {
                prop_assert!(len <= start.len() + noise.len());
            }
        }
    }
}
