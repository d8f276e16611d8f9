//! The conditions that the hub's promises hang on, each with a name.
//!
//! A test may take one of them out (`removed`) and must then see the simulator fail: a guard that can be
//! taken out without a red test is either not needed or not tested. Outside tests a guard is its condition
//! and nothing else.

/// A condition with a name; true means "go on". Taken out, it is always true.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn guard(_name: &'static str, condition: bool) -> bool {
    condition
}

#[cfg(test)]
std::thread_local! {
    static REMOVED: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn guard(name: &'static str, condition: bool) -> bool {
    condition || REMOVED.get() == Some(name)
}

/// Runs `test` on this thread with one guard taken out.
#[cfg(test)]
pub(crate) fn without<T>(name: &'static str, test: impl FnOnce() -> T) -> T {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            REMOVED.set(None);
        }
    }
    REMOVED.set(Some(name));
    let _restore = Restore;
    test()
}
