//! What must be on disk before it is said: with QoS 2 a step that was forgotten would be a message doubled or
//! lost.

use yizhan_hub::{Answer, Call, Refused, link::Publish};
use yizhan_talk::{Now, Out};

use super::{Asked, Bridge, HubRanks};
use crate::wire::PacketId;

/// What a session's save is waited for with.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// For the save that runs.
    covered: Vec<After>,
    /// For the one after it.
    next: Vec<After>,
    runs: bool,
}

/// What is done once the session is safe.
#[derive(Debug)]
pub(super) enum After {
    /// PUBLISH of QoS 2 with this identifier goes out.
    Publish(PacketId),
    /// PUBREL goes out.
    Release(PacketId),
    /// The hub is given a message of QoS 2.
    Take(PacketId, Box<Publish>),
    /// PUBCOMP goes out.
    Complete(PacketId),
    /// Nothing: what was subscribed to.
    Nothing,
}

impl<B: HubRanks> Bridge<B> {
    /// Does something once what the session remembers now is safe.
    pub(super) fn after_save(&mut self, rank: usize, after: After, out: &mut Out<B>) {
        self.saving[rank].next.push(after);
        if !self.saving[rank].runs {
            self.start_save(rank, out);
        }
    }

    fn start_save(&mut self, rank: usize, out: &mut Out<B>) {
        let saving = &mut self.saving[rank];
        saving.covered = std::mem::take(&mut saving.next);
        saving.runs = true;
        self.ask(rank, Asked::Save, Call::Save, out);
    }

    /// A save was answered.
    pub(super) fn saved(&mut self, now: Now, rank: usize, answer: &Answer, out: &mut Out<B>) {
        if let Answer::Refused(refused) = answer {
            return self.refused("what is under way could not be saved", refused, out);
        }
        self.saving[rank].runs = false;
        for after in std::mem::take(&mut self.saving[rank].covered) {
            match after {
                After::Publish(id) => self.send_exact(now, rank, id, out),
                After::Release(id) => self.release(now, id, out),
                After::Take(id, publish) => self.take_exact(id, *publish, out),
                After::Complete(id) => self.complete(now, id, out),
                After::Nothing => {}
            }
        }
        if !self.saving[rank].next.is_empty() && !self.saving[rank].runs {
            self.start_save(rank, out);
        }
    }
}

/// Whether trying again later may help.
pub(super) fn is_passing(refused: &Refused) -> bool {
    refused.again() != yizhan_talk::Again::Never
}
