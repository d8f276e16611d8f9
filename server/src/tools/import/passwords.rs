//! mosquitto's password file (mosquitto_passwd(1)): one line a user, `NAME:HASH`.

use std::collections::HashSet;

use yizhan_identity::names::check_user;

/// A user and the hash that mosquitto has made of the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Counted from one.
    pub(crate) line: usize,
    pub(crate) user: String,
    pub(crate) hash: String,
}

/// Reads a file: its users, and by line what is wrong with the others.
pub(crate) fn read(text: &[u8]) -> (Vec<Entry>, Vec<(usize, String)>) {
    let (mut entries, mut left_out, mut seen) = (Vec::<Entry>::new(), Vec::new(), HashSet::new());
    for (i, line) in text.split(|b| *b == b'\n').enumerate() {
        let line_number = i + 1;
        match entry(line_number, line) {
            Ok(None) => {}
            Ok(Some(entry)) => {
                if seen.insert(entry.user.clone()) {
                    entries.push(entry);
                } else {
                    left_out.push((line_number, format!("the user '{}' stood there already", entry.user)));
                }
            }
            Err(reason) => left_out.push((line_number, reason)),
        }
    }
    (entries, left_out)
}

fn entry(line_number: usize, line: &[u8]) -> Result<Option<Entry>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is no UTF-8".to_owned())?.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (user, hash) = line.split_once(':').ok_or("it has no colon")?;
    let (user, hash) = (user.trim(), hash.trim());
    check_user(user).map_err(|failure| format!("'{user}': {failure}"))?;
    if !hash.starts_with('$') {
        return Err(format!("'{user}' has no hash: run `mosquitto_passwd -U` on the file"));
    }
    Ok(Some(Entry { line: line_number, user: user.into(), hash: hash.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_and_other_lines_are_named() {
        let file = b"# ours\nann:$7$101$c2FsdA==$aGFzaA==\r\n\nbob : $6$c2FsdA==$aGFzaA== \nplain:secret\n\
                     no colon\na/b:$7$1$x$y\nann:$7$101$x$y\n\xff:$7$1$x$y\n:$7$1$x$y";
        let (entries, left_out) = read(file);
        let users: Vec<_> = entries.iter().map(|e| (e.line, e.user.as_str(), e.hash.as_str())).collect();
        assert_eq!(users, [(2, "ann", "$7$101$c2FsdA==$aGFzaA=="), (4, "bob", "$6$c2FsdA==$aGFzaA==")]);
        assert_eq!(left_out.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
        assert!(left_out[0].1.contains("mosquitto_passwd -U") && !left_out[0].1.contains("secret"));
        assert_eq!(read(b""), (vec![], vec![]));
    }
}
