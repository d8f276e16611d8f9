//! The user that a client certificate names (RFC 5280): its subject's common name, or an alternative name.
//!
//! TLS has verified the certificate, so only as much of DER (X.690) is read here as leads to the names. What is
//! not as expected names nobody.

use std::sync::Arc;

use crate::config::CertificateUser;

/// Bytes that a user's name may have.
const USER_BYTES_MAX: usize = 256;

/// Tags of X.690.
mod tag {
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const OBJECT: u8 = 0x06;
    pub(super) const UTF8: u8 = 0x0c;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    pub(super) const PRINTABLE: u8 = 0x13;
    pub(super) const IA5: u8 = 0x16;
    pub(super) const BOOLEAN: u8 = 0x01;
    /// `version` and `extensions` of TBSCertificate (RFC 5280 §4.1).
    pub(super) const VERSION: u8 = 0xa0;
    pub(super) const EXTENSIONS: u8 = 0xa3;
    /// Kinds of general names (RFC 5280 §4.2.1.6).
    pub(super) const MAIL: u8 = 0x81;
    pub(super) const DNS: u8 = 0x82;
}

/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// The user that the certificate names, in the way that the config says. `None` where there is no such name,
/// where it is no plain text, or where there are several common names.
#[must_use]
pub fn user_of(der: &[u8], which: CertificateUser) -> Option<Arc<str>> {
    let name = match which {
        CertificateUser::Off => return None,
        CertificateUser::Cn => common_name(der)?,
        CertificateUser::San => alternative_name(der)?,
    };
    let plain = !name.is_empty() && name.len() <= USER_BYTES_MAX && !name.chars().any(char::is_control);
    plain.then(|| name.into())
}

/// Values behind one another, each with tag and length.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value: its tag and what is in it. `None` at the end and where the bytes make no sense.
    fn next(&mut self) -> Option<(u8, Self)> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // 128 to 65,535 bytes; no certificate is longer, and an indefinite length is not DER.
            0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
            0x82 => rest.split_first_chunk().map(|(len, rest)| (u16::from_be_bytes(*len).into(), rest))?,
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, Self(value)))
    }

    /// What is in the next value, which must have this tag.
    fn expect(&mut self, tag: u8) -> Option<Self> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

/// Behind the issuer and the validity: subject, keys and what follows them.
fn from_subject(der: &[u8]) -> Option<Der<'_>> {
    let mut to_be_signed = Der(der).expect(tag::SEQUENCE)?.expect(tag::SEQUENCE)?;
    if to_be_signed.0.first() == Some(&tag::VERSION) {
        to_be_signed.next()?;
    }
    // serialNumber, signature, issuer, validity
    for _ in 0..4 {
        to_be_signed.next()?;
    }
    Some(to_be_signed)
}

fn common_name(der: &[u8]) -> Option<&str> {
    let mut subject = from_subject(der)?.expect(tag::SEQUENCE)?;
    let mut found = None;
    while let Some((tag::SET, mut relative)) = subject.next() {
        while let Some((tag::SEQUENCE, mut attribute)) = relative.next() {
            if attribute.expect(tag::OBJECT)?.0 != COMMON_NAME {
                continue;
            }
            let (tag::UTF8 | tag::PRINTABLE | tag::IA5, Der(text)) = attribute.next()? else { return None };
            // Whoever reads the other one would see somebody else.
            if found.replace(std::str::from_utf8(text).ok()?).is_some() {
                return None;
            }
        }
    }
    found
}

fn alternative_name(der: &[u8]) -> Option<&str> {
    let mut rest = from_subject(der)?;
    let mut all = loop {
        match rest.next()? {
            (tag::EXTENSIONS, mut wrapped) => break wrapped.expect(tag::SEQUENCE)?,
            _ => continue,
        }
    };
    let mut names = loop {
        let mut extension = all.expect(tag::SEQUENCE)?;
        if extension.expect(tag::OBJECT)?.0 != ALTERNATIVE_NAMES {
            continue;
        }
        let (tag, mut value) = extension.next()?;
        if tag == tag::BOOLEAN {
            value = extension.expect(tag::OCTETS)?;
        }
        break value.expect(tag::SEQUENCE)?;
    };
    let mut mail = None;
    while let Some((kind, Der(text))) = names.next() {
        match kind {
            tag::DNS => return std::str::from_utf8(text).ok(),
            tag::MAIL if mail.is_none() => mail = std::str::from_utf8(text).ok(),
            _ => {}
        }
    }
    mail
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn user(der: &[u8], which: CertificateUser) -> Option<String> {
        user_of(der, which).map(|user| user.to_string())
    }

    #[test]
    fn the_common_name_is_the_user() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Pumps & Co");
            params.distinguished_name.push(DnType::CommonName, "pümp-7");
        });
        assert_eq!(user(&der, CertificateUser::Cn).as_deref(), Some("pümp-7"));
        assert_eq!(user(&der, CertificateUser::San), None);
        assert_eq!(user(&der, CertificateUser::Off), None);
        let printable = certificate(|params| {
            let name = DnValue::PrintableString("pump-8".try_into().unwrap());
            params.distinguished_name.push(DnType::CommonName, name);
        });
        assert_eq!(user(&printable, CertificateUser::Cn).as_deref(), Some("pump-8"));
    }

    #[test]
    fn the_first_dns_name_is_the_user_else_the_first_address() {
        let mail = || SanType::Rfc822Name("pump@example.org".try_into().unwrap());
        let der = certificate(|params| {
            let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
            params.subject_alt_names = vec![mail(), dns("one.example.org"), dns("two.example.org")];
        });
        assert_eq!(user(&der, CertificateUser::San).as_deref(), Some("one.example.org"));
        let der = certificate(|params| params.subject_alt_names = vec![mail()]);
        assert_eq!(user(&der, CertificateUser::San).as_deref(), Some("pump@example.org"));
    }

    #[test]
    fn a_name_that_is_no_plain_text_names_nobody() {
        for name in ["", "a\0b", "a\nb", &"x".repeat(USER_BYTES_MAX + 1)] {
            let der = certificate(|params| params.distinguished_name.push(DnType::CommonName, name));
            assert_eq!(user(&der, CertificateUser::Cn), None, "{name:?}");
        }
    }

    #[test]
    fn bytes_that_are_cut_or_changed_do_no_harm() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "pump");
            params.subject_alt_names = vec![SanType::DnsName("pump.example.org".try_into().unwrap())];
        });
        for which in [CertificateUser::Cn, CertificateUser::San] {
            for end in 0..der.len() {
                drop(user_of(&der[..end], which));
            }
            for at in 0..der.len() {
                for bit in 0..8 {
                    let mut bad = der.clone();
                    bad[at] ^= 1 << bit;
                    drop(user_of(&bad, which));
                }
            }
        }
    }
}
