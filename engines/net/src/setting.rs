//! The sections of the config that are about the network. Their doc comments are the config reference.
//!
//! Durations are numbers of seconds, or texts such as `"250ms"`, `"30s"`, `"5m"`, `"24h"`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Cidr;

/// Where a door listens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Address and port, or a list of them: `"127.0.0.1:8888"`, `["0.0.0.0:8888", "[::]:8888"]`. An empty
    /// list closes the door. Port 0 takes a free one.
    #[serde(with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// Certificate and key; without them the port speaks plain text.
    pub tls: Option<TlsFiles>,
    /// Balancers that put a PROXY protocol header (version 1 or 2) before each connection: addresses or
    /// ranges. From these the header is required, from all others none is taken.
    pub proxy_from: Vec<Cidr>,
}

impl Listen {
    /// Plain text at one address.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { listen: vec![address], ..Self::default() }
    }
}

/// The port that all HTTP routes and WebSockets share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port, or a list of them.
    #[serde(with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// Certificate and key; without them the port speaks plain text.
    pub tls: Option<TlsFiles>,
    /// Balancers that put a PROXY protocol header before each connection: addresses or ranges.
    pub proxy_from: Vec<Cidr>,
    /// Pages of these origins may use the server from a browser, besides its own: `"https://example.org"`.
    /// `"*"` is any origin. Counts for CORS and for WebSockets.
    pub origins: Vec<String>,
    /// Bytes that a request's head may have.
    pub header_bytes_max: usize,
    /// Bytes that a request's body may have.
    pub body_bytes_max: usize,
    /// How long a client may take to send a request's head.
    #[serde(with = "seconds")]
    pub header_within: Duration,
    /// How long a client may take to send a request's body.
    #[serde(with = "seconds")]
    pub body_within: Duration,
    /// How long a connection may stay open without a request.
    #[serde(with = "seconds")]
    pub idle_max: Duration,
    /// Bytes that a WebSocket message may have, after inflation.
    pub message_bytes_max: usize,
    /// Compression of WebSocket messages (permessage-deflate, RFC 7692).
    pub deflate: Deflate,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            tls: None,
            proxy_from: Vec::new(),
            origins: Vec::new(),
            header_bytes_max: 32 * 1024,
            body_bytes_max: 8 * 1024 * 1024,
            header_within: Duration::from_secs(10),
            body_within: Duration::from_secs(60),
            idle_max: Duration::from_secs(75),
            // A body of 1 MiB, and what a protocol puts around it.
            message_bytes_max: 1024 * 1024 + 64 * 1024,
            deflate: Deflate::default(),
        }
    }
}

impl Http {
    /// Where it listens.
    #[must_use]
    pub fn listen(&self) -> Listen {
        Listen { listen: self.listen.clone(), tls: self.tls.clone(), proxy_from: self.proxy_from.clone() }
    }
}

/// Compression of WebSocket messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deflate {
    /// Whether it is agreed to when a client offers it.
    pub on: bool,
    /// Messages to the client with fewer bytes are not compressed.
    pub bytes_min: usize,
    /// 1 (quick) to 9 (small).
    pub level: u8,
    /// Percent of a thread's time that compressing may take; beyond it messages go out as they are.
    pub cpu_percent_max: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self { on: true, bytes_min: 1024, level: 1, cpu_percent_max: 20 }
    }
}

/// Certificate and key of a port, PEM files. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// The certificate and those between it and the root, in this order.
    pub cert: PathBuf,
    /// The private key (PKCS #8, PKCS #1 or SEC1).
    pub key: PathBuf,
    /// Certificates of those who sign client certificates. Without it no client is asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused; needs `client_ca`.
    pub client_required: bool,
}

/// What the network side of the server takes on, and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at one time, all doors together. More are closed at once.
    pub connections_max: usize,
    /// Connections at one time from one address (IPv6: from one /64).
    pub address_connections_max: usize,
    /// New connections a second from one address, after a burst of four seconds' worth.
    pub address_rate_max: u32,
    /// Addresses and ranges to which the two limits above do not apply: balancers, load generators.
    pub exempt: Vec<Cidr>,
    /// How long the TLS handshake and the PROXY header may take together.
    #[serde(with = "seconds")]
    pub handshake_within: Duration,
    /// A client that takes nothing of what is sent to it for so long is cut off.
    #[serde(with = "seconds")]
    pub write_stall_max: Duration,
    /// A packet or message must be complete so long after its first byte.
    #[serde(with = "seconds")]
    pub packet_within: Duration,
    /// How long a client may take to end its side after the server has said goodbye.
    #[serde(with = "seconds")]
    pub close_within: Duration,
    /// Calls of one connection that may wait for answers; then no more is read from it.
    pub calls_max: usize,
    /// Bytes of one connection that may wait to be sent; then no more is read from it.
    pub reply_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            address_connections_max: 1_000,
            address_rate_max: 100,
            exempt: vec![
                Cidr::new([127, 0, 0, 0].into(), 8).expect("8 bits of 32"),
                Cidr::new([0, 0, 0, 0, 0, 0, 0, 1].into(), 128).expect("128 bits of 128"),
            ],
            handshake_within: Duration::from_secs(10),
            write_stall_max: Duration::from_secs(30),
            packet_within: Duration::from_secs(30),
            close_within: Duration::from_secs(5),
            calls_max: 256,
            reply_bytes_max: 256 * 1024,
        }
    }
}

/// Durations as numbers of seconds or texts with a unit: `#[serde(with = "yizhan_net::setting::seconds")]`.
pub mod seconds {
    use std::{fmt, time::Duration};

    use serde::{Deserializer, Serializer, de};

    /// Writes whole seconds as an integer, others with fractions.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        if duration.subsec_nanos() == 0 {
            serializer.serialize_u64(duration.as_secs())
        } else {
            serializer.serialize_f64(duration.as_secs_f64())
        }
    }

    /// Reads a number of seconds, or a text such as `"250ms"`, `"30s"`, `"5m"`, `"24h"`, `"7d"`.
    ///
    /// # Errors
    /// The value is neither, or negative.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds, or a text such as \"250ms\", \"30s\", \"5m\", \"24h\"")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Duration, E> {
                Ok(Duration::from_secs(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Duration, E> {
                u64::try_from(value)
                    .map(Duration::from_secs)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Duration, E> {
                Duration::try_from_secs_f64(value)
                    .map_err(|_| E::invalid_value(de::Unexpected::Float(value), &self))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Duration, E> {
                super::parse_duration(value)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `"250ms"`, `"30s"`, `"5m"`, `"24h"`, `"7d"` or a bare number of seconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let unit = match text[split..].trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

/// One address or a list of them.
mod one_or_many {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(all: &Vec<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
        match all.as_slice() {
            [one] => one.serialize(to),
            _ => all.serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Texts {
            One(String),
            Many(Vec<String>),
        }
        let texts = match Texts::deserialize(from)? {
            Texts::One(text) if text.is_empty() => Vec::new(),
            Texts::One(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            Texts::Many(texts) => texts,
        };
        texts.iter().map(|text| address(text).map_err(de::Error::custom)).collect()
    }

    fn address(text: &str) -> Result<SocketAddr, String> {
        let full = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        full.parse().map_err(|_| {
            format!("'{text}' is no address with a port: write one like 127.0.0.1:8080 or [::]:8080")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_alone_and_a_list_are_both_taken() {
        let one: Listen = toml::from_str(r#"listen = "127.0.0.1:8888""#).unwrap();
        assert_eq!(one, Listen::at("127.0.0.1:8888".parse().unwrap()));
        let two: Listen = toml::from_str(r#"listen = ["127.0.0.1:1", "[::1]:2"]"#).unwrap();
        assert_eq!(two.listen.len(), 2);
        let texts: Listen = toml::from_str(r#"listen = "127.0.0.1:1, localhost:2""#).unwrap();
        assert_eq!(texts.listen.len(), 2);
        let none: Listen = toml::from_str(r#"listen = """#).unwrap();
        assert!(none.listen.is_empty());
    }

    #[test]
    fn what_is_unknown_or_no_address_is_said() {
        assert!(toml::from_str::<Listen>("port = 1").unwrap_err().to_string().contains("port"));
        let error = toml::from_str::<Listen>(r#"listen = "8888""#).unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:8080"), "{error}");
    }

    #[test]
    fn durations_are_seconds_or_texts() {
        let limits: Limits =
            toml::from_str("write_stall_max = 2\npacket_within = 0.5\nclose_within = \"250ms\"").unwrap();
        assert_eq!(limits.write_stall_max, Duration::from_secs(2));
        assert_eq!(limits.packet_within, Duration::from_millis(500));
        assert_eq!(limits.close_within, Duration::from_millis(250));
        assert!(toml::from_str::<Limits>("packet_within = -1").is_err());
        assert_eq!(parse_duration("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse_duration("4 parsecs"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let http = Http { idle_max: Duration::from_millis(1500), ..Http::default() };
        assert_eq!(toml::from_str::<Http>(&toml::to_string(&http).unwrap()).unwrap(), http);
        let limits = Limits::default();
        assert_eq!(toml::from_str::<Limits>(&toml::to_string(&limits).unwrap()).unwrap(), limits);
    }
}
