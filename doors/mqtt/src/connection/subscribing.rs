//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5 §3.8 to §3.11), and subscriptions that clients have without asking.

use std::{collections::VecDeque, sync::Arc};

use yizhan_hub::{
    Answer, Call, Filter, Qos, Record, Refused,
    link::{Group, Start, SubscriptionId},
    store::Missed,
};
use yizhan_talk::{Fault, Now, Out};

use super::{Asked, Connection, HubBackend, acking::Release, reasons::reason_of};
use crate::{
    names::{Among, BadName, Wish},
    session::{State, Sub},
    wire::{
        Kind, Packet, PacketId, Reason, WireError,
        packet::{Options, Reasons, RetainHandling, Subscribe, Unsubscribe},
        properties::{AckProperties, SubscriptionIdentifier},
    },
};

/// Retained messages that a subscription which was there before is sent again.
const STATE_RECORDS_MAX: usize = 10_000;

/// A SUBSCRIBE or UNSUBSCRIBE under way.
#[derive(Debug)]
pub(super) struct List {
    kind: Kind,
    id: PacketId,
    reasons: Vec<Reason>,
    /// Filters that the hub was asked about.
    asked: VecDeque<AskedFilter>,
    /// Answers about retained messages that are still to come.
    states: usize,
    state: Vec<(SubscriptionId, Vec<Arc<Record>>)>,
    /// Something changed that must be safe before it is acknowledged.
    is_changed: bool,
    /// Why the first filter was refused that was.
    text: Option<String>,
}

/// A filter that the hub was asked about: its place among the reasons, its number, and what was there before.
type AskedFilter = (usize, SubscriptionId, Option<Sub>);

impl List {
    fn new(kind: Kind, id: PacketId, filters: usize) -> Self {
        Self {
            kind,
            id,
            reasons: Vec::with_capacity(filters),
            asked: VecDeque::new(),
            states: 0,
            state: Vec::new(),
            is_changed: false,
            text: None,
        }
    }

    fn is_done(&self) -> bool {
        self.asked.is_empty() && self.states == 0
    }
}

/// Takes the hub's subscriptions over where nothing else is known of them: the client has them, and would wait
/// for ever for what they bring.
fn adopt(state: &mut State, hubs: &[(SubscriptionId, Filter, Missed)]) {
    for (id, filter, _) in hubs {
        state.last_subscription = state.last_subscription.max(*id);
        state.put_sub(Sub {
            id: *id,
            filter: filter.as_str().into(),
            // The hub counts with no more than what was granted; more than once is better than not at all.
            qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            shared: false,
            in_state: false,
            identifier: None,
        });
    }
}

fn granted(qos: Qos) -> Reason {
    match qos {
        Qos::AtMostOnce => Reason::Success,
        Qos::AtLeastOnce => Reason::GrantedQos1,
        Qos::ExactlyOnce => Reason::GrantedQos2,
    }
}

fn qos_max(max: u8) -> Qos {
    match max {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

impl<B: HubBackend> Connection<B> {
    pub(super) fn subscribe(
        &mut self,
        now: Now,
        subscribe: &Subscribe<'_>,
        out: &mut Out<B>,
    ) -> Result<(), Fault> {
        let identifier = subscribe.properties.subscription_id;
        if identifier.is_some() && !self.terms.config.subscription_ids {
            let text = "subscriptions have no identifiers here (MQTT 5 §3.2.2.3.12)";
            let error = WireError::new(Reason::SubscriptionIdsNotSupported, text);
            return Err(self.broken(now, &error, out));
        }
        let Some(session) = self.session.clone() else { return Ok(()) };
        let Some(mut state) = session.of(self.owner) else { return Ok(()) };
        let mut list = List::new(Kind::Suback, subscribe.id, subscribe.filters.len());
        for (filter, options) in &subscribe.filters {
            match self.wish(filter) {
                Ok(wish) => {
                    let reason =
                        self.ask_for(&mut state, (filter, wish), *options, identifier, &mut list, out);
                    list.reasons.push(reason);
                }
                Err(bad) => {
                    list.text.get_or_insert_with(|| bad.to_string());
                    list.reasons.push(bad.of_filter());
                }
            }
        }
        drop(state);
        self.desk().lists.push_back(list);
        self.say_lists(now, out);
        Ok(())
    }

    fn wish(&self, filter: &str) -> Result<Wish, BadName> {
        let rewrite = |plain| self.terms.rewrites.subscribe(plain, &self.client, &self.user);
        self.terms.names.wish(filter, rewrite)
    }

    /// Asks the hub for one filter; gives what is granted if the hub does not refuse.
    fn ask_for(
        &mut self,
        state: &mut State,
        (text, wish): (&str, Wish),
        options: Options,
        identifier: Option<SubscriptionIdentifier>,
        list: &mut List,
        out: &mut Out<B>,
    ) -> Reason {
        let before = state.sub_to(text).cloned();
        let id = before.as_ref().map_or_else(|| state.new_subscription(), |sub| sub.id);
        let shared = matches!(wish.among, Among::Group(_));
        let with_state = !shared && before.is_none() && options.retain_handling != RetainHandling::Keep;
        let again = !shared && before.is_some() && options.retain_handling == RetainHandling::Send;
        let sub = Sub {
            id,
            filter: text.into(),
            qos: options.qos.min(qos_max(self.allowance.qos_max)),
            // A bridge would send back what it brought (mosquitto's top bit of the protocol level).
            no_local: !shared && (options.no_local || self.is_bridge),
            retain_as_published: options.retain_as_published || self.is_bridge,
            shared,
            in_state: with_state || before.as_ref().is_some_and(|before| before.in_state),
            identifier,
        };
        let reason = granted(sub.qos);
        let filter = wish.filter.clone();
        let from = if before.is_some() { Start::Keep } else { Start::Now };
        self.call_subscribe(&sub, wish, from, with_state, Asked::Subscribe, out);
        list.asked.push_back((list.reasons.len(), id, before));
        list.is_changed = true;
        if again {
            list.states += 1;
            self.ask(Asked::State(id), Call::State(filter, STATE_RECORDS_MAX), out);
        }
        state.put_sub(sub);
        reason
    }

    fn call_subscribe(
        &mut self,
        sub: &Sub,
        wish: Wish,
        from: Start,
        with_state: bool,
        asked: Asked,
        out: &mut Out<B>,
    ) {
        let share = &self.terms.config.share;
        let (group, exclusive) = match wish.among {
            Among::All => (None, false),
            Among::Nobody => (None, true),
            Among::Group(name) => {
                // A member that acks is not given more than its own window holds.
                let window = if sub.qos == Qos::AtMostOnce {
                    share.window
                } else {
                    share.window.min(self.window.into())
                };
                (Some(Group { deal: share.deal(&name), name, window: window.max(1) }), false)
            }
        };
        let subscribe = yizhan_hub::link::Subscribe {
            from,
            with_state,
            no_local: sub.no_local,
            qos: sub.qos,
            group,
            exclusive,
            ..yizhan_hub::link::Subscribe::new(sub.id, wish.filter)
        };
        self.ask(asked, Call::Subscribe(Box::new(subscribe)), out);
    }

    /// The hub answered for the next filter of the oldest list that has one open.
    pub(super) fn filter_done(&mut self, now: Now, refused: Option<&Refused>, out: &mut Out<B>) {
        let Some((list, (at, id, before))) = self.next_asked() else { return };
        let Some(refused) = refused else { return self.say_lists(now, out) };
        let (reason, text) = (reason_of(refused, list.kind), refused.to_string());
        if let Some(place) = list.reasons.get_mut(at) {
            *place = reason;
        }
        list.text.get_or_insert(text);
        if let Some(mut state) = self.session.as_ref().and_then(|session| session.of(self.owner)) {
            // What was there before goes on as it was.
            match before {
                Some(sub) => state.put_sub(sub),
                None => state.remove_sub(id),
            }
        }
        self.say_lists(now, out);
    }

    fn next_asked(&mut self) -> Option<(&mut List, AskedFilter)> {
        let list = self.desk.as_mut()?.lists.iter_mut().find(|list| !list.asked.is_empty())?;
        let asked = list.asked.pop_front()?;
        Some((list, asked))
    }

    /// Retained messages for a subscription that was there before: they follow SUBACK.
    pub(super) fn state_read(
        &mut self,
        now: Now,
        subscription: SubscriptionId,
        records: Vec<Arc<Record>>,
        out: &mut Out<B>,
    ) {
        let list = self.desk.as_mut().and_then(|desk| desk.lists.iter_mut().find(|list| list.states > 0));
        if let Some(list) = list {
            list.states -= 1;
            list.state.push((subscription, records));
        }
        self.say_lists(now, out);
    }

    pub(super) fn unsubscribe(&mut self, now: Now, unsubscribe: &Unsubscribe<'_>, out: &mut Out<B>) {
        let Some(session) = self.session.clone() else { return };
        let Some(mut state) = session.of(self.owner) else { return };
        let mut list = List::new(Kind::Unsuback, unsubscribe.id, unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let reason = match state.sub_to(filter).map(|sub| sub.id) {
                Some(id) => {
                    state.remove_sub(id);
                    // What was begun is ended as far as the client goes along (MQTT-3.10.4-2).
                    state.flight.forget_subscription(id);
                    list.asked.push_back((list.reasons.len(), id, None));
                    list.is_changed = true;
                    self.ask(Asked::Unsubscribe, Call::Unsubscribe(id), out);
                    Reason::Success
                }
                None if self.wish(filter).is_err_and(|bad| bad.of_filter() == Reason::TopicFilterInvalid) => {
                    Reason::TopicFilterInvalid
                }
                None => Reason::NoSubscriptionExisted,
            };
            list.reasons.push(reason);
        }
        drop(state);
        self.desk().lists.push_back(list);
        self.say_lists(now, out);
    }

    /// The hub answered for the next filter that the client hears no more.
    pub(super) fn filter_left(&mut self, now: Now, answer: &Answer, out: &mut Out<B>) {
        if let Some((list, (at, ..))) = self.next_asked()
            && let Answer::Refused(refused) = answer
            && let Some(place) = list.reasons.get_mut(at)
        {
            *place = reason_of(refused, Kind::Unsuback);
        }
        self.say_lists(now, out);
    }

    /// Says SUBACK and UNSUBACK of the lists that are done, oldest first; of a session that outlives its
    /// connection once it is saved.
    fn say_lists(&mut self, now: Now, out: &mut Out<B>) {
        while let Some(desk) = &mut self.desk
            && let Some(list) = desk.lists.pop_front_if(|list| list.is_done())
        {
            // What comes behind one that waits for a save must not overtake it.
            if self.is_kept && (list.is_changed || !self.desk().releases.is_empty()) {
                self.release(Release::List(Box::new(list)));
            } else {
                self.say_list(now, list, out);
            }
        }
        self.tidy_desk();
    }

    pub(super) fn say_list(&mut self, now: Now, list: List, out: &mut Out<B>) {
        let List { kind, id, reasons, state, text, .. } = list;
        let properties = AckProperties { reason_string: text.as_deref(), ..AckProperties::default() };
        let reasons = Reasons { id, properties, reasons };
        let packet = if kind == Kind::Suback { Packet::Suback(reasons) } else { Packet::Unsuback(reasons) };
        self.say(now, &packet, out);
        for (subscription, records) in state {
            self.send_state(now, subscription, records, out);
        }
    }

    /// Subscriptions of a new session that the config makes.
    pub(super) fn subscribe_automatically(&mut self, out: &mut Out<B>) {
        let terms = self.terms.clone();
        let (client, user) = (self.client.clone(), self.user.clone());
        let Some(session) = self.session.clone() else { return };
        let Some(mut state) = session.of(self.owner) else { return };
        for wanted in terms.automatic.of(&client, &user) {
            let text = match &wanted.wish.among {
                Among::All => wanted.wish.filter.as_str().to_owned(),
                Among::Nobody => format!("$exclusive/{}", wanted.wish.filter.as_str()),
                Among::Group(group) => format!("$share/{group}/{}", wanted.wish.filter.as_str()),
            };
            if state.sub_to(&text).is_some() {
                continue;
            }
            let id = state.new_subscription();
            let sub = Sub {
                id,
                filter: text.into(),
                qos: qos_max(wanted.qos.min(self.allowance.qos_max)),
                no_local: wanted.no_local || self.is_bridge,
                retain_as_published: wanted.retain_as_published || self.is_bridge,
                shared: matches!(wanted.wish.among, Among::Group(_)),
                in_state: wanted.with_retained,
                identifier: None,
            };
            let asked = Asked::Resubscribed(id);
            self.call_subscribe(&sub, wanted.wish, Start::Now, wanted.with_retained, asked, out);
            state.put_sub(sub);
        }
    }

    /// After a restart the hub's subscriptions and ours may be of different moments: ours count, where there
    /// is anything that we remember.
    pub(super) fn agree_on_subscriptions(
        &mut self,
        state: &mut State,
        hubs: &[(SubscriptionId, Filter, Missed)],
        out: &mut Out<B>,
    ) {
        if state.last_subscription == 0 {
            return adopt(state, hubs);
        }
        for (id, ..) in hubs.iter().filter(|(id, ..)| state.sub(*id).is_none()) {
            self.ask(Asked::Unheard, Call::Unsubscribe(*id), out);
        }
        for sub in &state.subscriptions {
            if hubs.iter().any(|(id, ..)| *id == sub.id) {
                continue;
            }
            // Written by this server, so it was good once; a config that changed may forbid it now.
            if let Ok(wish) = self.wish(&sub.filter) {
                self.call_subscribe(sub, wish, Start::Keep, false, Asked::Resubscribed(sub.id), out);
            }
        }
    }

    /// A subscription that the client did not ask for just now is refused.
    pub(super) fn not_resubscribed(&mut self, subscription: SubscriptionId, refused: &Refused) {
        tracing::debug!(client = %self.client, subscription, %refused, "a subscription was not made");
        if let Some(mut state) = self.session.as_ref().and_then(|session| session.of(self.owner)) {
            state.remove_sub(subscription);
        }
    }
}
