//! Relays between servers that run.
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the floor: they own sockets and tasks")]

mod served;

use std::{net::SocketAddr, time::Duration};

use served::{H264_AAC, PATIENCE, Program, Sections, frames, has, publish, serve, serve_with, until, watch};
use yizhan_media::{
    Config, Fed, Name,
    config::relay::{Address, Relay, When},
};

fn relay(from: Option<String>, to: Option<String>) -> Sections {
    let relay = Relay {
        from: from.map(Address::new),
        to: to.map(Address::new),
        linger: Duration::from_millis(500),
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(1),
        ..Relay::default()
    };
    [("other".to_owned(), relay)].into()
}

fn app(address: SocketAddr) -> String {
    format!("rtmp://{address}/live?token=x")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_fetches_what_is_watched_and_only_as_long() {
    if !has("ffmpeg") {
        return;
    }
    let origin = serve(Config::default());
    let edge = serve_with(Config::default(), None, &relay(Some(app(origin.address)), None));
    let _publisher = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &origin.url("room")));
    let at_origin = origin.on_air("room", true, true).await;
    assert!(edge.find("room").is_none() && edge.relays.views().is_empty());
    let mut viewer = Program::start(&mut watch("ffmpeg", Some(2), &edge.url("room")));
    let at_edge = edge.on_air("room", true, true).await;
    assert_eq!((at_origin.viewer_count(), at_edge.publisher().door), (1, "relay"));
    assert_eq!(
        &*at_origin.viewers()[0].client,
        format!("FMLE/3.0 (compatible; Yizhan {})", env!("CARGO_PKG_VERSION"))
    );
    let views = edge.relays.views();
    assert!(
        views[0].since.is_some() && views[0].bytes > 0 && !format!("{views:?}").contains("token"),
        "{views:?}"
    );
    assert!(viewer.ended().await.success(), "{}", viewer.said());
    assert!(frames(&viewer.said()) >= 25, "{}", viewer.said());
    // Nobody watches any more.
    until("it is fetched no more", || edge.find("room").is_none().then_some(())).await;
    until("the origin has no viewer", || (at_origin.viewer_count() == 0).then_some(())).await;
    assert!(at_origin.is_on_air());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_and_nowhere_is_not_on_air() {
    if !has("ffmpeg") {
        return;
    }
    let origin = serve(Config::default());
    let config = Config { wanted_for: Duration::from_secs(2), ..Config::default() };
    let edge = serve_with(config, None, &relay(Some(app(origin.address)), None));
    let mut viewer = Program::start(&mut watch("ffmpeg", Some(1), &edge.url("nobody")));
    assert!(!viewer.ended().await.success());
    assert!(viewer.said().contains("not on air"), "{}", viewer.said());
    until("it is given up", || edge.relays.views().is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_air_goes_to_another_server_and_comes_back_with_its_publisher() {
    if !has("ffmpeg") {
        return;
    }
    let there = serve(Config::default());
    let here = serve_with(
        Config::default(),
        None,
        &relay(None, Some(format!("rtmp://{}/live/{{name}}-copy", there.address))),
    );
    let mut publisher = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &here.url("room")));
    let copy = there.on_air("room-copy", true, true).await;
    let mut viewer = Program::start(&mut watch("ffmpeg", Some(2), &there.url("room-copy")));
    assert!(viewer.ended().await.success(), "{}", viewer.said());
    assert!(viewer.said().contains("Video: h264") && frames(&viewer.said()) >= 25, "{}", viewer.said());
    // Within the time of grace the line stays.
    publisher.kill();
    let lost = here.find("room").unwrap();
    until("it was lost", || (!lost.is_on_air()).then_some(())).await;
    let _again = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &here.url("room")));
    let before = copy.newest_dts();
    until("it goes on", || (lost.is_on_air() && copy.newest_dts() > before).then_some(())).await;
    assert_eq!(there.find("room-copy").map(|copy| copy.id()), Some(copy.id()));
    // The end here is the end there, at once.
    here.media.stop(yizhan_talk::Clock::now(&yizhan_net::SystemClock), &lost, "over");
    until("it has ended", || there.find("room-copy").is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_always_fetched_is_tried_until_it_comes() {
    if !has("ffmpeg") {
        return;
    }
    let origin = serve(Config::default());
    let mut sections = relay(Some(format!("rtmp://{}/live/source", origin.address)), None);
    let section = sections.get_mut("other").unwrap();
    (section.names, section.when) = (vec!["room".into()], When::Always);
    let edge = serve_with(Config::default(), None, &sections);
    until("it was tried", || {
        let views = edge.relays.views();
        let reason = views.first()?.last_error.clone()?;
        assert!(reason.contains("NetStream.Play.StreamNotFound"), "{reason}");
        Some(())
    })
    .await;
    let mut publisher = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &origin.url("source")));
    let here = edge.on_air("room", true, true).await;
    // Its frames are those of the origin, in order.
    let mut feed = here.feed();
    let mut last = -1;
    for _ in 0..10 {
        match tokio::time::timeout(PATIENCE, feed.next()).await.unwrap() {
            Fed::Block(block) => {
                assert!(block.dts() > last);
                last = block.dts();
            }
            other => panic!("{other:?}"),
        }
    }
    // A publisher that is cut off and comes back.
    publisher.kill();
    let name = Name::new("live", "source").unwrap();
    let source = origin.media.find(&name).unwrap();
    until("the origin has lost it", || (!source.is_on_air()).then_some(())).await;
    let _again = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &origin.url("source")));
    let before = here.newest_dts();
    until("it goes on", || (source.is_on_air() && here.newest_dts() > before).then_some(())).await;
}

/// An nginx with its RTMP module, on a free port; none where that is not installed.
fn nginx() -> Option<(Program, SocketAddr, std::path::PathBuf)> {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
    let program = "/usr/sbin/nginx";
    if ![program, MODULE].iter().all(|file| std::path::Path::new(file).exists()) {
        eprintln!("skipped: nginx and its RTMP module are not installed");
        return None;
    }
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder =
        std::env::temp_dir().join(format!("yizhan-rtmp-nginx-{}-{}", std::process::id(), address.port()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("nginx.conf");
    let text = format!(
        "load_module {MODULE};\ndaemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/errors;\n\
         events {{ }}\nrtmp {{ server {{ listen {address}; application live {{ live on; }} }} }}\n",
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = std::process::Command::new(program);
    command.arg("-c").arg(&config).arg("-p").arg(&folder);
    Some((Program::start(&mut command), address, folder))
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_takes_what_is_sent_and_gives_what_is_fetched() {
    if !has("ffmpeg") {
        return;
    }
    let Some((nginx, address, folder)) = nginx() else { return };
    until("nginx listens", || std::net::TcpStream::connect(address).ok()).await;
    let to = serve_with(Config::default(), None, &relay(None, Some(format!("rtmp://{address}/live"))));
    let from = serve_with(Config::default(), None, &relay(Some(format!("rtmp://{address}/live")), None));
    let mut publisher = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &to.url("room")));
    to.on_air("room", true, true).await;
    until("it is sent", || to.relays.views().first()?.since).await;
    let mut viewer = Program::start(&mut watch("ffmpeg", Some(2), &from.url("room")));
    let here = from.on_air("room", true, true).await;
    assert!(viewer.ended().await.success(), "{}", viewer.said());
    assert!(frames(&viewer.said()) >= 25, "{}", viewer.said());
    assert_eq!(here.publisher().door, "relay");
    publisher.kill();
    drop(nginx);
    drop(std::fs::remove_dir_all(folder));
}
