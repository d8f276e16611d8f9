//! Who watches: sessions, tokens, kicks.

use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;
use yizhan_hls::Config;
use yizhan_media::{Gone, Pass, Porter, Refused, Wish};
use yizhan_net::Limits;
use yizhan_talk::Called;

use crate::world::{World, addresses, any_media, materials, name, quick, source, until};

fn cookie(answer: &crate::world::Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn viewers_are_told_apart_by_a_cookie_and_forgotten_when_they_stay_away() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    let mut sending = world.publish(packets);
    sending.until(4_500);
    let broadcast = world.media.find(&name()).unwrap();
    let mut cookies = Vec::new();
    for agent in ["one", "two"] {
        let master = world.ask("GET", "/live/room.m3u8", &[("user-agent", agent)]).await;
        assert!(master.header("set-cookie").contains("; Path=/live/; "), "{:?}", master.headers);
        cookies.push(cookie(&master));
    }
    assert_ne!(cookies[0], cookies[1]);
    assert_eq!(broadcast.viewer_count(), 0, "who has seen the master only is no viewer");
    for _ in 0..3 {
        for (agent, cookie) in ["one", "two"].iter().zip(&cookies) {
            for playlist in ["video", "audio"] {
                let headers = [("user-agent", *agent), ("cookie", cookie)];
                let media = world.ask("GET", &format!("/live/room/{playlist}.m3u8"), &headers).await;
                assert_eq!(media.status, StatusCode::OK);
                assert_eq!(media.header("set-cookie"), "");
            }
        }
    }
    assert_eq!(broadcast.view().viewers.get("hls"), Some(&2));
    // A client without cookies is known by what it looks like.
    for _ in 0..3 {
        world.ask("GET", "/live/room/video.m3u8", &[("user-agent", "three")]).await;
    }
    assert_eq!(broadcast.view().viewers.get("hls"), Some(&3));
    world.ask("GET", "/live/room.mpd", &[("user-agent", "four")]).await;
    assert_eq!(broadcast.view().viewers.get("dash"), Some(&1));
    let video = world.ask("GET", "/live/room/video.m3u8", &[("cookie", &cookies[0])]).await;
    let segment = format!("/live/room/{}", addresses(video.text())[0]);
    let bytes = world.ask("GET", &segment, &[("cookie", &cookies[0])]).await.body.len() as u64;
    assert_eq!(broadcast.view().out_bytes, bytes);
    let kicked = broadcast.viewers().into_iter().find(|one| &*one.client == "one").unwrap();
    assert!(broadcast.kick_viewer(kicked.id, "enough"));
    let headers = [("user-agent", "one"), ("cookie", &*cookies[0])];
    for _ in 0..2 {
        let refused = world.ask("GET", "/live/room/video.m3u8", &headers).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(broadcast.view().viewers.get("hls"), Some(&2));
    until("those who stay away are forgotten", || broadcast.viewer_count() == 0).await;
    sending.end();
}

/// Lets in who has the token.
#[derive(Default)]
struct Strict {
    asked: Mutex<usize>,
    gone: Mutex<Vec<Gone>>,
}

impl Porter for Strict {
    fn may(&self, wish: Wish) -> Called<Result<Pass, Refused>> {
        *self.asked.lock() += 1;
        let good = wish.creds.params.split('&').any(|pair| pair == "token=good")
            || wish.creds.bearer.as_deref() == Some("good");
        let refused = || Refused::Denied("this broadcast needs a token".into());
        let user = Some("ann".into());
        Called::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            if good { Ok(Pass { user, until: None }) } else { Err(refused()) }
        }))
    }

    fn gone(&self, gone: Gone) {
        self.gone.lock().push(gone);
    }
}

#[tokio::test]
async fn a_token_opens_the_master_and_its_session_all_that_follows() {
    let Some(packets) = source() else { return };
    let media = yizhan_media::Media::new(yizhan_media::Config::default(), 1);
    let strict = Arc::new(Strict::default());
    media.set_porter(strict.clone());
    let world = World::with(materials(quick(), &media), Limits::default());
    let mut sending = world.publish(packets);
    sending.until(4_500);
    for path in
        ["room.m3u8", "room.ts.m3u8", "room.mpd", "room.flv", "room/video.m3u8", "room/audio.m3u8?token=bad"]
    {
        let refused = world.get(&format!("/live/{path}")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        assert!(refused.text().contains("needs a token"), "{}", refused.text());
    }
    *strict.asked.lock() = 0;
    let master = world.get("/live/room.m3u8?token=good").await;
    assert_eq!(master.header("cache-control"), "no-store");
    let video = addresses(master.text())[0].to_owned();
    assert!(video.starts_with("room/video.m3u8?session="), "{video}");
    assert!(!master.text().contains("token"), "a token is not handed on");
    for reload in ["", "&_HLS_skip=YES", "&_HLS_msn=0"] {
        // Without a cookie: another device would ask like this, too.
        let media = world.ask("GET", &format!("/live/{video}{reload}"), &[("user-agent", "other")]).await;
        assert_eq!(media.status, StatusCode::OK, "{}", media.text());
    }
    assert_eq!(*strict.asked.lock(), 1, "who has a session is not asked about again");
    let broadcast = world.media.find(&name()).unwrap();
    assert_eq!(broadcast.viewers()[0].user.as_deref(), Some("ann"));
    let by_header = world.ask("GET", "/live/room.mpd", &[("authorization", "Bearer good")]).await;
    assert_eq!(by_header.status, StatusCode::OK);
    let wrong = world.get("/live/room/video.m3u8?session=00000000000000000000000000000000").await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    until("who decides hears of their end", || strict.gone.lock().len() == 2).await;
    sending.end();
}

#[tokio::test]
async fn behind_a_cache_all_viewers_get_the_same() {
    let Some(packets) = source() else { return };
    let world = World::new(Config { sessions: false, ..quick() });
    let mut sending = world.publish(packets);
    sending.until(4_500);
    let master = world.get("/live/room.m3u8?key=abc").await;
    assert_eq!(master.header("set-cookie"), "");
    assert_eq!(addresses(master.text()), ["room/video.m3u8?key=abc"]);
    assert_eq!(master.header("cache-control"), "public, max-age=2");
    let media = world.get("/live/room/video.m3u8").await;
    assert_eq!(media.header("cache-control"), "public, max-age=1");
    let waited = world.get("/live/room/video.m3u8?_HLS_msn=0").await;
    assert_eq!(waited.header("cache-control"), "public, max-age=6");
    sending.end();
    drop(any_media());
}
