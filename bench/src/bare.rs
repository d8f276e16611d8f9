//! The physical limit for fan-out: one thread that reads whatever the publisher has sent and writes the
//! same bytes to every socket in one write each, as a WebSocket server would have to.

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Bytes read from the publisher at once.
const READ: usize = 64 * 1024;

/// The first connection that sends anything behind its handshake is the publisher.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let mut listeners: Vec<TcpStream> = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut read = Vec::new();
        while memchr::memmem::find(&read, b"\r\n\r\n").is_none() {
            stream.read_buf(&mut read).await?;
        }
        let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(response.as_bytes()).await?;
        if memchr::memmem::find(&read, b"publisher").is_none() {
            listeners.push(stream);
            continue;
        }
        // What follows is published: masked frames with a zero mask, given on without it.
        let (mut input, mut output) = (Vec::with_capacity(READ), Vec::new());
        loop {
            input.reserve(READ);
            if stream.read_buf(&mut input).await? == 0 {
                break;
            }
            output.clear();
            let mut used = 0;
            while let Some((head, length)) = header(&input[used..]) {
                if input.len() < used + head + length {
                    break;
                }
                let text = &input[used + head..used + head + length];
                output.extend(&input[used..used + 1]);
                if length < 126 {
                    output.push(length as u8);
                } else {
                    output.push(126);
                    output.extend((length as u16).to_be_bytes());
                }
                output.extend(text);
                used += head + length;
            }
            input.drain(..used);
            for listener in &mut listeners {
                listener.write_all(&output).await?;
            }
        }
        listeners.clear();
    }
}

/// The length of a frame's header and of its text.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? & 0x7f {
        126 => Some((8, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])))),
        short => Some((6, usize::from(short))),
    }
}
