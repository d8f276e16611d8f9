//! The least of a WebSocket client: a handshake, masked frames with a mask of zeros, and raw reading.

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::process::Process;

/// Connects and upgrades; gives the stream and what was read behind the response.
pub(crate) async fn connect(server: &Process) -> Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(server.address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        server.path
    );
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") {
            if !read.starts_with(b"HTTP/1.1 101") {
                bail!("no upgrade: {}", String::from_utf8_lossy(&read[..end]));
            }
            return Ok((stream, read.split_off(end + 4)));
        }
        if stream.read_buf(&mut read).await? == 0 {
            bail!("the server closed during the handshake");
        }
    }
}

/// Appends a text frame from a client.
pub(crate) fn frame(out: &mut Vec<u8>, text: &[u8]) {
    out.push(0x81);
    match text.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        medium @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend((medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    // A mask of zeros leaves the text as it is.
    out.extend([0; 4]);
    out.extend(text);
}

/// Reads until some text was seen.
pub(crate) async fn read_until(stream: &mut TcpStream, mut read: Vec<u8>, text: &str) -> Result<()> {
    while memchr::memmem::find(&read, text.as_bytes()).is_none() {
        if stream.read_buf(&mut read).await? == 0 {
            bail!("the server closed before it said '{text}': {}", String::from_utf8_lossy(&read));
        }
    }
    Ok(())
}
