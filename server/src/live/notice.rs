//! How replicas tell each other what they touched: the text of one notification.
//!
//! `1 <replica> *` says that everything may have changed. `1 <replica> <tenant>:<hashes> <tenant>:<hashes> …` names
//! the scopes, each hash in 11 characters of base64. A reader takes a text that it does not understand, of a newer
//! version for example, for a change of everything.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::scope::ScopeHash;
use crate::tenant::TenantId;

/// Longest text, in bytes. Postgres refuses 8,000.
const TEXT_BYTES_LIMIT: usize = 7_900;
/// Characters of one hash.
const HASH_BYTES: usize = 11;
/// Most characters that name a tenant, with their separators.
const TENANT_BYTES: usize = 13;
/// The format.
const FORMAT: &str = "1";

/// A replica, for the time of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReplicaId(u64);

impl ReplicaId {
    /// One that no other replica has.
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// What was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touched {
    /// Anything.
    Everything,
    /// These scopes.
    Scopes(BTreeSet<(TenantId, ScopeHash)>),
}

/// The texts that tell it.
pub(super) fn write(replica: ReplicaId, touched: &Touched) -> Vec<String> {
    let head = format!("{FORMAT} {}", replica.text());
    let Touched::Scopes(scopes) = touched else {
        return vec![format!("{head} *")];
    };
    let mut texts = Vec::new();
    let mut text = head.clone();
    let mut last_tenant = None;
    for (tenant, ScopeHash(hash)) in scopes {
        if text.len() + HASH_BYTES + TENANT_BYTES > TEXT_BYTES_LIMIT {
            texts.push(std::mem::replace(&mut text, head.clone()));
            last_tenant = None;
        }
        if last_tenant != Some(tenant) {
            text.push_str(&format!(" {}:", tenant.0));
            last_tenant = Some(tenant);
        }
        URL_SAFE_NO_PAD.encode_string(hash.to_be_bytes(), &mut text);
    }
    if text.len() > head.len() {
        texts.push(text);
    }
    texts
}

/// The text by which a command tells all replicas that everything may have changed.
pub fn everything_touched() -> Vec<String> {
    write(ReplicaId::random(), &Touched::Everything)
}

/// What another replica touched; `None` = it was this one.
pub(super) fn read(replica: ReplicaId, text: &str) -> Option<Touched> {
    let mut words = text.split(' ');
    if words.next() != Some(FORMAT) {
        return Some(Touched::Everything);
    }
    if words.next() == Some(replica.text().as_str()) {
        return None;
    }
    let mut scopes = BTreeSet::new();
    for word in words {
        match tenant_scopes(word) {
            Some(found) => scopes.extend(found),
            None => return Some(Touched::Everything),
        }
    }
    Some(Touched::Scopes(scopes))
}

fn tenant_scopes(word: &str) -> Option<Vec<(TenantId, ScopeHash)>> {
    let (tenant, hashes) = word.split_once(':')?;
    let tenant = TenantId(tenant.parse().ok()?);
    let hash = |text: &[u8]| {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some((tenant, ScopeHash(u64::from_be_bytes(bytes.try_into().ok()?))))
    };
    hashes.as_bytes().chunks(HASH_BYTES).map(hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_texts_that_postgres_takes() {
        let (ours, theirs) = (ReplicaId(1), ReplicaId(u64::MAX));
        let scopes: BTreeSet<_> = (0_u64..5_000)
            .map(|number| {
                (TenantId(i32::try_from(number % 7).unwrap() - 3), ScopeHash(number.wrapping_mul(u64::MAX / 3)))
            })
            .chain([(TenantId(i32::MIN), ScopeHash(0)), (TenantId(i32::MAX), ScopeHash(u64::MAX))])
            .collect();
        let texts = write(theirs, &Touched::Scopes(scopes.clone()));
        assert!(texts.len() > 1 && texts.iter().all(|text| text.len() <= TEXT_BYTES_LIMIT));
        let mut read_back = BTreeSet::new();
        for text in &texts {
            let Some(Touched::Scopes(found)) = read(ours, text) else { panic!("not read: {text}") };
            read_back.extend(found);
            assert_eq!(read(theirs, text), None);
        }
        assert_eq!(read_back, scopes);
    }

    #[test]
    fn everything_and_what_is_not_understood_is_everything() {
        let everything = write(ReplicaId(2), &Touched::Everything);
        assert_eq!(everything.len(), 1);
        for text in [everything[0].as_str(), "2 new format", "", "1 2 7", "1 2 x:AAAAAAAAAAA", "1 2 7:A", "1 2 7:é"] {
            assert_eq!(read(ReplicaId(1), text), Some(Touched::Everything), "{text:?}");
        }
        assert!(write(ReplicaId(2), &Touched::Scopes(BTreeSet::new())).is_empty());
    }
}
