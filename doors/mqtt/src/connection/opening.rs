//! CONNECT, CONNACK, and authentication in several steps (MQTT 5 §3.1, §3.2, §4.12).

use std::{
    hash::{BuildHasher, RandomState},
    num::{NonZeroU16, NonZeroU32},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use yizhan_hub::{
    Call, Credentials, Hello, Keepsake, Refused,
    link::{Kept, LastMessage, Name, Opened, Prove, Publish, Secret},
};
use yizhan_talk::{Close, Fault, Now, Out};

use super::{
    Asked, Connection, HubBackend, Stage,
    props::About,
    reasons::{close_of, reason_of},
};
use crate::{
    names::Template,
    session::Session,
    wire::{
        Kind, Packet, Qos, Reason, Version, WireError,
        packet::{Auth, Connack, Connect, Hidden, Will},
        properties::{AuthProperties, ConnackProperties},
    },
};

/// What is known of a client between CONNECT and CONNACK.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// The user that a verified client certificate names.
    certificate: Option<Arc<str>>,
    hello: Option<Box<Hello>>,
    session: Option<Arc<Session>>,
    is_assigned: bool,
    /// Seconds.
    expiry_asked: u32,
    wants_response_information: bool,
    /// A keep alive that the client did not ask for.
    server_keep_alive: Option<u16>,
    /// The last data of the authentication.
    data: Option<Bytes>,
}

impl Opening {
    pub(super) fn by_certificate(user: Arc<str>) -> Self {
        Self { certificate: Some(user), ..Self::default() }
    }
}

/// Why a client does not come in: for CONNACK.
struct No(Reason, &'static str);

impl<B: HubBackend> Connection<B> {
    pub(super) fn connect(&mut self, now: Now, connect: &Connect<'_>, out: &mut Out<B>) -> Result<(), Fault> {
        self.version = connect.version;
        self.is_bridge = connect.bridge;
        self.heard = now.steady;
        let properties = &connect.properties;
        self.explains = properties.request_problem_information.unwrap_or(true);
        self.bytes_max = properties.maximum_packet_size.map_or(u32::MAX, NonZeroU32::get);
        match self.prepare(now, connect) {
            Ok((opening, first)) => {
                self.stage = Stage::Greeting;
                self.desk().opening = Some(opening);
                match first {
                    Some((method, data)) => self.prove(method, data, out),
                    None => self.hello(out),
                }
                Ok(())
            }
            Err(No(reason, text)) => {
                self.refuse(now, reason, Some(text), out);
                let close = Close { reason: text.into(), ..close_of(reason) };
                out.close(close.clone());
                Err(Fault(close))
            }
        }
    }

    /// Looks at all of CONNECT. Gives the first step of an authentication where there is one.
    #[allow(clippy::type_complexity, reason = "said in the line above, used once")]
    fn prepare(
        &mut self,
        now: Now,
        connect: &Connect<'_>,
    ) -> Result<(Box<Opening>, Option<(Arc<str>, Bytes)>), No> {
        let is_assigned = connect.client_id.is_empty();
        if is_assigned && connect.version == Version::V4 && !connect.clean_start {
            return Err(No(
                Reason::ClientIdNotValid,
                "a session that is kept needs a client id (MQTT-3.1.3-8)",
            ));
        }
        if connect.client_id.len() > self.terms.config.client_id_bytes_max {
            return Err(No(Reason::ClientIdNotValid, "the client id is too long for this server"));
        }
        self.client = if is_assigned { new_client_id(now).into() } else { connect.client_id.into() };
        self.user = connect.user_name.unwrap_or_default().into();
        self.allowance = self.terms.allowance(&self.client, connect.user_name).clone();
        let asked = connect.properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get);
        self.window = asked.min(self.allowance.inflight_max);
        let server_keep_alive = self.agree_on_keep_alive(connect);
        let aliases = connect.properties.topic_alias_maximum.unwrap_or(0).min(self.allowance.topic_alias_max);
        if aliases > 0 {
            self.desk().aliases_out = super::AliasesOut::new(aliases);
        }
        let mut opening = self.desk.as_mut().and_then(|desk| desk.opening.take()).unwrap_or_default();
        let session = Arc::new(Session::new(now));
        let keepsake: Arc<dyn Keepsake> = session.clone();
        let method: Option<Arc<str>> = connect.properties.authentication_method.map(Into::into);
        let credentials = match (&method, &opening.certificate) {
            (Some(_), _) => Credentials::Proven,
            (None, Some(user)) => Credentials::Certificate { user: user.clone() },
            (None, None) => credentials(connect)?,
        };
        opening.hello = Some(Box::new(Hello {
            credentials,
            device: Some(self.client.clone()),
            resume: None,
            name: Some(Name { name: format!("mqtt:{}", self.client).into(), fresh: connect.clean_start }),
            keep: self.keep_asked(connect),
            last_message: connect.will.as_ref().map(|will| self.last_message(will)).transpose()?,
            keepsake: Some(keepsake),
        }));
        opening.session = Some(session);
        opening.is_assigned = is_assigned;
        opening.expiry_asked = connect.properties.session_expiry.unwrap_or(0);
        opening.server_keep_alive = server_keep_alive;
        opening.wants_response_information = connect.properties.request_response_information.unwrap_or(false);
        let data = connect.properties.authentication_data.map_or(&[][..], |data| data.0);
        Ok((opening, method.map(|method| (method, Bytes::copy_from_slice(data)))))
    }

    /// Gives the keep alive that the client has to be told.
    fn agree_on_keep_alive(&mut self, connect: &Connect<'_>) -> Option<u16> {
        match self.version {
            Version::V4 => {
                self.keep_alive = self.allowance.shorter(connect.keep_alive);
                None
            }
            Version::V5 => {
                let (given, is_told) = self.allowance.keep_alive(connect.keep_alive);
                self.keep_alive = given;
                is_told.then_some(given)
            }
        }
    }

    /// How long the session is to be kept.
    fn keep_asked(&self, connect: &Connect<'_>) -> Duration {
        let max = self.allowance.session_expiry_max;
        match (connect.version, connect.properties.session_expiry) {
            (Version::V4, _) if connect.clean_start => Duration::ZERO,
            (Version::V4, _) | (Version::V5, Some(u32::MAX)) => max,
            (Version::V5, asked) => Duration::from_secs(asked.unwrap_or(0).into()).min(max),
        }
    }

    fn last_message(&self, will: &Will<'_>) -> Result<LastMessage, No> {
        if will.qos as u8 > self.allowance.qos_max {
            return Err(No(Reason::QosNotSupported, "the will's QoS is above the maximum (MQTT-3.2.2-12)"));
        }
        if will.retain && !self.terms.config.retain {
            return Err(No(Reason::RetainNotSupported, "nothing is retained here (MQTT-3.2.2-13)"));
        }
        let topic = self.terms.rewrites.publish(will.topic, &self.client, &self.user);
        let destination = self
            .terms
            .names
            .destination(&topic)
            .map_err(|_| No(Reason::TopicNameInvalid, "the will's topic is not taken here"))?;
        let (content, headers) = About::from(&will.properties)
            .read(will.payload)
            .map_err(|_| No(Reason::PayloadFormatInvalid, "the will is not UTF-8, as it is said to be"))?;
        let properties = &will.properties;
        let publish = Publish {
            key: will.retain.then(super::publishing::retained_key),
            content,
            headers,
            expires_in: properties.message_expiry.map(|seconds| Duration::from_secs(seconds.into())),
            qos: will.qos,
            delay: destination.delay,
            ..Publish::new(destination.topic, Bytes::copy_from_slice(will.payload))
        };
        let delay = Duration::from_secs(properties.delay.unwrap_or(0).into());
        Ok(LastMessage { publish, delay: Some(delay) })
    }

    fn hello(&mut self, out: &mut Out<B>) {
        let hello = self.desk().opening.as_mut().and_then(|opening| opening.hello.take());
        if let Some(hello) = hello {
            self.ask(Asked::Hello, Call::Hello(hello), out);
        }
    }

    fn prove(&mut self, method: Arc<str>, data: Bytes, out: &mut Out<B>) {
        self.desk().method = Some(method.clone());
        let prove = Prove { mechanism: method, device: Some(self.client.clone()), data: Secret(data) };
        self.ask(Asked::Prove, Call::Prove(Box::new(prove)), out);
    }

    /// AUTH: the next step, or the first one of a new authentication (MQTT 5 §4.12.1).
    pub(super) fn auth(&mut self, now: Now, auth: &Auth<'_>, out: &mut Out<B>) -> Result<(), Fault> {
        let method = self.desk.as_ref().and_then(|desk| desk.method.clone());
        let Some(method) = method else {
            let text = "AUTH from a client that named no method in CONNECT (MQTT 5 §4.12)";
            return Err(self.broken(now, &WireError::protocol(text), out));
        };
        if auth.properties.method != Some(&*method) {
            let text = "AUTH with another method than in CONNECT (MQTT-4.12.0-5)";
            return Err(self.not_proven(now, Reason::BadAuthenticationMethod, text, out));
        }
        let is_expected = match self.stage {
            Stage::Proving => auth.reason == Reason::ContinueAuthentication,
            _ => matches!(auth.reason, Reason::ContinueAuthentication | Reason::Reauthenticate),
        };
        if !is_expected {
            let text = "AUTH with a reason that is not expected now (MQTT 5 §3.15.2.1)";
            return Err(self.not_proven(now, Reason::ProtocolError, text, out));
        }
        if self.stage == Stage::Proving {
            self.stage = Stage::Greeting;
        }
        let data = auth.properties.data.map_or(&[][..], |data| data.0);
        self.prove(method, Bytes::copy_from_slice(data), out);
        Ok(())
    }

    fn not_proven(&mut self, now: Now, reason: Reason, text: &'static str, out: &mut Out<B>) -> Fault {
        if self.stage == Stage::Proving {
            self.refuse(now, reason, Some(text), out);
        }
        let close = Close { reason: text.into(), ..close_of(reason) };
        self.end(now, reason, Some(text), close.clone(), out);
        Fault(close)
    }

    /// The client has to answer this.
    pub(super) fn challenge(&mut self, now: Now, data: &[u8], out: &mut Out<B>) {
        if self.stage == Stage::Greeting {
            self.stage = Stage::Proving;
        }
        self.say_auth(now, Reason::ContinueAuthentication, data, out);
    }

    /// It is proven who the client is.
    pub(super) fn proven(&mut self, now: Now, data: Bytes, out: &mut Out<B>) {
        if self.stage == Stage::Open {
            return self.say_auth(now, Reason::Success, &data, out);
        }
        if let Some(opening) = self.desk().opening.as_mut() {
            opening.data = Some(data);
        }
        self.hello(out);
    }

    fn say_auth(&mut self, now: Now, reason: Reason, data: &[u8], out: &mut Out<B>) {
        let method = self.desk().method.clone();
        let data = (!data.is_empty()).then_some(Hidden(data));
        let properties = AuthProperties { method: method.as_deref(), data, ..AuthProperties::default() };
        self.say(now, &Packet::Auth(Auth { reason, properties }), out);
    }

    /// Hello or an authentication was refused.
    pub(super) fn not_admitted(&mut self, now: Now, refused: &Refused, out: &mut Out<B>) {
        let text = refused.to_string();
        if self.stage == Stage::Open {
            let reason = reason_of(refused, Kind::Disconnect);
            return self.end(now, reason, Some(&text), Close::NOT_ADMITTED, out);
        }
        let mut reason = reason_of(refused, Kind::Connack);
        if reason == Reason::ServerUnavailable && self.terms.config.server_reference.is_some() {
            reason = Reason::UseAnotherServer;
        }
        self.refuse(now, reason, Some(&text), out);
        out.close(Close { reason: text.into(), again: refused.again(), ..close_of(reason) });
    }

    /// The session is open: CONNACK, and what was under way in an earlier connection.
    pub(super) fn opened(&mut self, now: Now, opened: Opened, out: &mut Out<B>) {
        let Some(opening) = self.desk().opening.take() else { return };
        let Some(own) = opening.session.clone() else { return };
        let session = adopt(&opened, own);
        self.owner = session.take_over();
        self.session = Some(session);
        self.stage = Stage::Open;
        self.heard = now.steady;
        self.opened_at = now.wall;
        self.is_kept = !opened.keep.is_zero();
        self.is_resumed = opened.resumed;
        self.user = opened.principal.user.clone();
        self.is_rated = opened.principal.rates != yizhan_hub::access::Rates::default();
        self.expires = opened.principal.expires_at.map(|at| Box::new((at, now.steady + at.since(now.wall))));
        self.terms.meters.client_came();
        self.terms.meters.connect(Reason::Success);
        if !self.say_connack(now, &opened, &opening, out) {
            // A client that does not even take this much (MQTT-3.2.2-15).
            self.ended();
            return out.close(Close::TOO_BIG);
        }
        if opened.resumed {
            self.resume(now, &opened.subscriptions, out);
        } else {
            self.subscribe_automatically(out);
        }
        self.tidy_desk();
    }

    /// Says whether it could be said.
    fn say_connack(&mut self, now: Now, opened: &Opened, opening: &Opening, out: &mut Out<B>) -> bool {
        let (terms, allowance) = (self.terms.clone(), self.allowance.clone());
        let (client, user) = (self.client.clone(), self.user.clone());
        let config = &terms.config;
        let expiry = u32::try_from(opened.keep.as_secs()).unwrap_or(u32::MAX);
        let off = |is_on: bool| (!is_on).then_some(false);
        let response_information = opening
            .wants_response_information
            .then(|| Template::new(&config.response_information).fill(&client, &user))
            .flatten()
            .filter(|text| !text.is_empty());
        let method = self.desk().method.clone();
        let properties = ConnackProperties {
            session_expiry: Some(expiry).filter(|given| *given != opening.expiry_asked),
            receive_maximum: NonZeroU16::new(allowance.receive_max).filter(|max| *max < NonZeroU16::MAX),
            maximum_qos: match allowance.qos_max {
                0 => Some(Qos::AtMostOnce),
                1 => Some(Qos::AtLeastOnce),
                _ => None,
            },
            retain_available: off(config.retain),
            maximum_packet_size: u32::try_from(allowance.packet_bytes_max).ok().and_then(NonZeroU32::new),
            assigned_client_id: opening.is_assigned.then_some(&*client),
            topic_alias_maximum: Some(allowance.topic_alias_max).filter(|max| *max > 0),
            wildcard_subscription_available: off(config.wildcards),
            subscription_identifiers_available: off(config.subscription_ids),
            shared_subscription_available: off(config.share.on),
            server_keep_alive: opening.server_keep_alive,
            response_information: response_information.as_deref(),
            authentication_method: method.as_deref(),
            authentication_data: opening.data.as_deref().filter(|data| !data.is_empty()).map(Hidden),
            ..ConnackProperties::default()
        };
        let connack = Connack { session_present: opened.resumed, reason: Reason::Success, properties };
        self.say(now, &Packet::Connack(Box::new(connack)), out)
    }
}

/// The session's memory: the one that lived on, the one that was saved, or the one made for this connection.
fn adopt(opened: &Opened, own: Arc<Session>) -> Arc<Session> {
    let kept = if opened.resumed { opened.kept.clone() } else { None };
    let found = match kept {
        Some(Kept::Live(keepsake)) => {
            let keepsake: Arc<dyn std::any::Any + Send + Sync> = keepsake;
            keepsake.downcast().ok()
        }
        Some(Kept::Saved(bytes)) => Session::read(&bytes).map(Arc::new),
        None => None,
    };
    if opened.resumed && found.is_none() {
        tracing::warn!(session = %opened.session, "what a session remembers was lost: messages may come twice");
    }
    let session = found.unwrap_or(own);
    if opened.resumed {
        opened.place.put(session.clone());
    }
    session
}

/// What the client shows, where it names no method.
fn credentials(connect: &Connect<'_>) -> Result<Credentials, No> {
    let Some(password) = connect.password else {
        return Ok(match connect.user_name {
            None => Credentials::None,
            Some(user) => Credentials::Password { user: user.into(), password: Arc::default() },
        });
    };
    let Ok(password) = std::str::from_utf8(password.0) else {
        return Err(No(Reason::BadUserNameOrPassword, "the password is wrong"));
    };
    let user = connect.user_name.unwrap_or_default();
    Ok(Credentials::Password { user: user.into(), password: password.into() })
}

/// A client id that nobody has or can guess: whoever has it can take the session over.
fn new_client_id(now: Now) -> String {
    // Keyed from the system's randomness.
    let half = || RandomState::new().hash_one(now.wall.0);
    format!("auto-{:016x}{:016x}", half(), half())
}
