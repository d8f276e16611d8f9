//! Two at the same time: only one gets it.

use std::{
    sync::{Arc, Barrier},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use yizhan_hub::{Access as _, Credentials, memory::Memory};
use yizhan_identity::{Config, Failure, Identity, NewAccount, Seams};

use crate::world::{World, cheap, peer};

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Does the same on several threads at once.
fn together<T: Send>(threads: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let start = |i| {
            let (barrier, act) = (&barrier, &act);
            scope.spawn(move || {
                barrier.wait();
                act(i)
            })
        };
        let all: Vec<_> = (0..threads).map(start).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn of_many_who_show_a_ticket_one_comes_in() {
    let config = Config { anonymous: yizhan_identity::config::Entry::Open, ..cheap(Config::default()) };
    let store = Memory::new(1);
    let identity = wait(Identity::open(config, &store, Seams::default())).unwrap();
    let now = World::new("").now;
    let who = wait(identity.admit(now, peer(), Credentials::None, None)).unwrap();
    for _ in 0..50 {
        let ticket = wait(identity.ticket(now, &who)).unwrap();
        let show = |_| {
            let ticket = Credentials::Ticket(ticket.reveal().as_str().into());
            wait(identity.admit(now, peer(), ticket, None)).is_ok()
        };
        assert_eq!(together(4, show).into_iter().filter(|came_in| *came_in).count(), 1);
    }
}

#[test]
fn two_owners_can_not_remove_each_other() {
    for _ in 0..20 {
        let world = World::new("");
        let own = world.owner();
        world.add(&own, "two", &["owner"]).unwrap();
        let two = world.logged_in("two");
        let remove = |i| {
            let (who, other) = if i == 0 { (&own, "two") } else { (&two, "own") };
            wait(world.identity.remove_account(world.actor(who), other))
        };
        let results = together(2, remove);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert!(results.contains(&Err(Failure::LastOwner)), "{results:?}");
        assert!(world.identity.has_owner());
    }
}

#[test]
fn an_account_is_made_once() {
    let world = World::new("");
    let own = world.owner();
    let new = NewAccount {
        user: "bob".into(),
        password: Some("bob's secret".to_owned().into()),
        password_hash: None,
        roles: None,
    };
    let results = together(4, |_| wait(world.identity.create_account(world.actor(&own), &new)));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
}
