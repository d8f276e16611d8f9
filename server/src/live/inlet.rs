//! FLV from a child's output, as packets.

use std::sync::Arc;

use tokio::{io::AsyncReadExt as _, process::ChildStdout};
use tracing::debug;
use yizhan_media::{Packet, flv::Demuxer};

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// What a child makes.
pub(super) struct Inlet {
    stdout: ChildStdout,
    demuxer: Demuxer,
    piece: Vec<u8>,
}

/// Nothing more comes; why, where that is not the child's end.
pub(super) struct NoMore(pub(super) Option<Arc<str>>);

impl Inlet {
    /// Frames are at most `frame_bytes_max` long.
    pub(super) fn new(stdout: ChildStdout, frame_bytes_max: usize) -> Self {
        Self { stdout, demuxer: Demuxer::new(frame_bytes_max), piece: vec![0; READ_BYTES] }
    }

    /// The next packet. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Packet, NoMore> {
        loop {
            match self.demuxer.read() {
                Ok(Some(packet)) => return Ok(packet),
                Ok(None) => match self.stdout.read(&mut self.piece).await {
                    Ok(0) => return Err(NoMore(None)),
                    Ok(length) => self.demuxer.push(&self.piece[..length]),
                    Err(error) => return Err(NoMore(Some(error.to_string().into()))),
                },
                Err(error) if error.is_final() => return Err(NoMore(Some(error.to_string().into()))),
                Err(error) => debug!(%error, "ffmpeg made something that is not understood"),
            }
        }
    }
}
