//! Stands in for `yizhan_media::flv` until that is there.
#![allow(missing_docs)]
use bytes::Bytes;
use yizhan_media::{Setup, track::Track};
pub fn metadata(setup: &Setup) -> Bytes {
    setup.metadata.clone()
}
pub mod body {
    use super::*;
    use yizhan_media::{Frame, Kind, Packet};
    #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
    #[error("no")]
    pub struct BodyError;
    #[derive(Debug, Default)]
    pub struct Reader;
    impl Reader {
        pub fn video(&mut self, dts: i64, data: Bytes, into: &mut Vec<Packet>) -> Result<(), BodyError> {
            into.push(Packet::Frame { kind: Kind::Video, key: true, dts, cts: 0, data });
            Ok(())
        }
        pub fn audio(&mut self, dts: i64, data: Bytes, into: &mut Vec<Packet>) -> Result<(), BodyError> {
            into.push(Packet::Frame { kind: Kind::Audio, key: true, dts, cts: 0, data });
            Ok(())
        }
        pub fn script(&mut self, dts: i64, data: Bytes, into: &mut Vec<Packet>) -> Result<(), BodyError> {
            into.push(Packet::Frame { kind: Kind::Data, key: true, dts, cts: 0, data });
            Ok(())
        }
    }
    pub fn prefix(_frame: &Frame) -> Bytes {
        Bytes::new()
    }
    pub fn sequence_header(track: &Track) -> Bytes {
        track.record.clone()
    }
}
