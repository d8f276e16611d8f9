//! What every table must do.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use super::Suite;
use crate::store::{Expect, KEY_BYTES_MAX, ROWS_BYTES_MAX, ROWS_MAX, Store, StoreError, Table};

fn table(store: &Arc<dyn Store>) -> Arc<dyn Table> {
    store.table("checked").expect("a table is opened")
}

fn value(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

async fn get(table: &Arc<dyn Table>, key: &str) -> Option<(Bytes, u64)> {
    table.get(key.as_bytes()).await.expect("a key is read")
}

pub(super) async fn a_value_has_a_version_that_grows(_: &Suite, store: Arc<dyn Store>) {
    let table = table(&store);
    assert_eq!(get(&table, "k").await, None);
    let mut newest = 0;
    for (text, there) in [(value("1"), true), (value("2"), true), (None, false), (value(""), true)] {
        let version = table.put(b"k", text.clone(), Expect::Any).await.expect("a value is put");
        assert!(version > newest, "the version grows, over a removal too");
        newest = version;
        assert_eq!(get(&table, "k").await, text.filter(|_| there).map(|text| (text, version)));
    }
    // Opened again, it is the same table.
    let again = super::tables::table(&store);
    assert_eq!(get(&again, "k").await, Some((Bytes::new(), newest)));
}

pub(super) async fn putting_happens_only_as_expected(_: &Suite, store: Arc<dyn Store>) {
    let table = table(&store);
    let conflict = Err(StoreError::Conflict);
    assert_eq!(table.put(b"k", value("x"), Expect::Version(1)).await, conflict);
    assert_eq!(table.put(b"k", None, Expect::Version(0)).await, conflict);
    let first = table.put(b"k", value("first"), Expect::Absent).await.expect("nothing was there");
    assert_eq!(table.put(b"k", value("x"), Expect::Absent).await, conflict);
    assert_eq!(table.put(b"k", value("x"), Expect::Version(first + 1)).await, conflict);
    assert_eq!(get(&table, "k").await, Some((Bytes::from_static(b"first"), first)));
    let second = table.put(b"k", value("second"), Expect::Version(first)).await.expect("as expected");
    assert_eq!(table.put(b"k", None, Expect::Version(first)).await, conflict);
    table.put(b"k", None, Expect::Version(second)).await.expect("as expected");
    assert_eq!(get(&table, "k").await, None);
    table.put(b"never there", None, Expect::Any).await.expect("removing nothing is no error");
    table.put(b"k", value("third"), Expect::Absent).await.expect("it was removed");
}

pub(super) async fn of_many_who_put_at_once_one_wins(_: &Suite, store: Arc<dyn Store>) {
    let table = table(&store);
    let version = table.put(b"k", value("0"), Expect::Any).await.expect("a value is put");
    let all = (0..20).map(|_| table.put(b"k", value("1"), Expect::Version(version)));
    let won = join_all(all).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

pub(super) async fn scanning_goes_in_order_and_on(_: &Suite, store: Arc<dyn Store>) {
    let table = table(&store);
    for key in ["b/2", "a/2", "c", "a/1", "a", "a/3", "b/1", "a\u{ff}"] {
        let value = Some(Bytes::copy_from_slice(key.as_bytes()));
        table.put(key.as_bytes(), value, Expect::Any).await.expect("a value is put");
    }
    table.put(b"\xff\xff", value("top"), Expect::Any).await.expect("a value is put");
    table.put(b"\xff\xff\x01", value("top"), Expect::Any).await.expect("a value is put");
    let scan = async |prefix: &[u8], after: Option<&[u8]>, most| -> Vec<String> {
        let rows = table.scan(prefix, after, most).await.expect("rows are read");
        rows.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    };
    assert_eq!(scan(b"a/", None, 99).await, ["a/1", "a/2", "a/3"]);
    assert_eq!(scan(b"a/", None, 2).await, ["a/1", "a/2"]);
    assert_eq!(scan(b"a/", Some(b"a/2"), 9).await, ["a/3"]);
    assert_eq!(scan(b"a/", Some(b"a/1x"), 9).await, ["a/2", "a/3"]);
    assert_eq!(scan(b"a/", Some(b"a"), 9).await, ["a/1", "a/2", "a/3"], "what comes before the prefix");
    assert_eq!(scan(b"a/", Some(b"b"), 9).await, [""; 0], "what comes behind the prefix");
    assert_eq!(scan(b"", None, 3).await, ["a", "a/1", "a/2"]);
    assert_eq!(scan(b"\xff\xff", None, 9).await.len(), 2, "the highest prefix there is");
    assert_eq!(scan(b"none", None, 9).await, [""; 0]);
    assert_eq!(scan(b"", None, 99).await.len(), 10);
}

pub(super) async fn tables_are_apart(_: &Suite, store: Arc<dyn Store>) {
    let (one, other) = (table(&store), store.table("another").expect("a table is opened"));
    one.put(b"k", value("one"), Expect::Absent).await.expect("nothing was there");
    other.put(b"k", value("other"), Expect::Absent).await.expect("nothing was there");
    assert_eq!(get(&one, "k").await.map(|(v, _)| v), value("one"));
    assert_eq!(get(&other, "k").await.map(|(v, _)| v), value("other"));
}

fn row(key: impl Into<String>, value: Option<&str>) -> (Bytes, Option<Bytes>) {
    (Bytes::from(key.into()), value.map(|value| Bytes::copy_from_slice(value.as_bytes())))
}

pub(super) async fn many_rows_are_put_as_one(_: &Suite, store: Arc<dyn Store>) {
    let table = table(&store);
    table.put_all(vec![]).await.expect("no rows are no error");
    let before = table.put(b"00007", value("old"), Expect::Any).await.expect("a value is put");
    table.put(b"gone", value("old"), Expect::Any).await.expect("a value is put");
    let mut rows: Vec<_> = (0..3000).map(|i| row(format!("{i:05}"), Some("new"))).collect();
    rows.extend([row("gone", None), row("never there", None)]);
    rows.extend([row("twice", Some("1")), row("twice", None), row("twice", Some("2"))]);
    rows.extend([row("not", Some("1")), row("not", None)]);
    // What is put before and after in line is before and after in effect.
    let (earlier, all, later) = (
        table.put(b"00001", value("earlier"), Expect::Any),
        table.put_all(rows),
        table.put(b"00002", value("later"), Expect::Any),
    );
    earlier.await.expect("a value is put");
    all.await.expect("rows are put");
    later.await.expect("a value is put");
    let found = table.scan(b"0", None, 9999).await.expect("rows are read");
    assert_eq!(found.len(), 3000);
    assert!(
        found
            .iter()
            .all(|(key, value)| &value[..] == if key == "00002" { "later" } else { "new" }.as_bytes())
    );
    let (new, version) = get(&table, "00007").await.expect("it is there");
    assert_eq!(new, "new");
    assert!(version > before, "the version grows");
    assert_eq!(table.put(b"00007", None, Expect::Version(before)).await, Err(StoreError::Conflict));
    table.put(b"00007", value("x"), Expect::Version(version)).await.expect("as expected");
    for (key, there) in [("gone", None), ("never there", None), ("twice", value("2")), ("not", None)] {
        assert_eq!(get(&table, key).await.map(|(value, _)| value), there, "{key}");
    }
}

pub(super) async fn too_many_rows_at_once_are_refused(_: &Suite, store: Arc<dyn Store>) {
    let table = table(&store);
    let many = (0..=ROWS_MAX).map(|i| row(i.to_string(), Some(""))).collect();
    let large = vec![row("large", Some(&"x".repeat(ROWS_BYTES_MAX)))];
    for rows in [many, large] {
        let refused = table.put_all(rows).await.expect_err("it is too much");
        assert!(refused.to_string().contains("at once"), "{refused}");
    }
    assert_eq!(table.scan(b"", None, 9).await.expect("rows are read"), []);
}

pub(super) async fn many_keys_are_read_in_their_order(_: &Suite, store: Arc<dyn Store>) {
    let table = table(&store);
    table.put_all((0..100).map(|i| row(format!("k{i}"), Some(&i.to_string()))).collect()).await.expect("put");
    let keys = ["k99", "k0", "none", "k50", "k99", ""].map(|key| Bytes::from_static(key.as_bytes()));
    let found = table.get_many(keys.to_vec()).await.expect("keys are read");
    assert_eq!(found, [value("99"), value("0"), None, value("50"), value("99"), None]);
    assert_eq!(keys.map(|key| table.peek(&key).expect("a key is read")).to_vec(), found);
    assert_eq!(table.get_many(vec![]).await.expect("no keys are no error"), []);
}

pub(super) async fn keys_that_no_table_takes_are_refused(_: &Suite, store: Arc<dyn Store>) {
    let table = table(&store);
    let longest = Bytes::from(vec![b'k'; KEY_BYTES_MAX]);
    for key in [Bytes::from(vec![b'k'; KEY_BYTES_MAX + 1]), Bytes::new()] {
        let put = table.put(&key, value("x"), Expect::Any).await;
        assert!(matches!(put, Err(StoreError::Failed(_))), "{put:?}");
        let put = table.put_all(vec![row("k", Some("x")), (key.clone(), value("x"))]).await;
        assert!(matches!(put, Err(StoreError::Failed(_))), "{put:?}");
        assert_eq!(table.get(&key).await.expect("asking is no error"), None);
        assert_eq!(table.get_many(vec![key]).await.expect("asking is no error"), [None]);
    }
    assert_eq!(table.scan(b"", None, 9).await.expect("rows are read"), []);
    table.put(&longest, value("x"), Expect::Any).await.expect("the longest key there may be");
}
