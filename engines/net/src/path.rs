//! Paths: which route one belongs to, and what stands in its parameters.

use std::borrow::Cow;

use http::Method;

/// Segments that a path may have.
const SEGMENTS_MAX: usize = 256;

/// Parameters of a path, by name, decoded.
pub(crate) type Params = Vec<(&'static str, String)>;

/// Routes with what they lead to.
pub(crate) struct Paths<T> {
    root: Node<T>,
}

struct Node<T> {
    literals: Vec<(&'static str, Self)>,
    one: Option<(&'static str, Box<Self>)>,
    rest: Option<(&'static str, Vec<(Method, T)>)>,
    here: Vec<(Method, T)>,
}

/// Where a path leads.
pub(crate) enum Found<'a, T> {
    /// To these methods, with these parameters.
    Here(&'a [(Method, T)], Params),
    /// Nowhere.
    Nowhere,
    /// It is no path: `%` without two digits, or bytes that are not UTF-8.
    Malformed,
}

impl<T> Node<T> {
    fn new() -> Self {
        Self { literals: Vec::new(), one: None, rest: None, here: Vec::new() }
    }

    fn search<'a>(&'a self, segments: &[Cow<'_, str>], params: &mut Params) -> Option<&'a [(Method, T)]> {
        let [first, rest @ ..] = segments else {
            return (!self.here.is_empty()).then_some(&self.here[..]);
        };
        if let Some((_, node)) = self.literals.iter().find(|(literal, _)| literal == first)
            && let Some(found) = node.search(rest, params)
        {
            return Some(found);
        }
        if let Some((name, node)) = &self.one
            && !first.is_empty()
        {
            params.push((name, first.to_string()));
            if let Some(found) = node.search(rest, params) {
                return Some(found);
            }
            params.pop();
        }
        let (name, methods) = self.rest.as_ref()?;
        params.push((name, segments.join("/")));
        Some(methods)
    }
}

impl<T> Paths<T> {
    pub(crate) fn new() -> Self {
        Self { root: Node::new() }
    }

    /// Adds a route: literal segments, `{name}` for one segment, and a last `{*name}` for the rest.
    ///
    /// # Errors
    /// The path is malformed, or has this method already.
    pub(crate) fn add(&mut self, method: &Method, path: &'static str, target: T) -> Result<(), String> {
        let mut node = &mut self.root;
        let mut segments =
            path.strip_prefix('/').ok_or_else(|| format!("'{path}' begins with no slash"))?.split('/');
        let methods = loop {
            let Some(segment) = segments.next() else { break &mut node.here };
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match (name.and_then(|name| name.strip_prefix('*')), name) {
                (Some(name), _) => {
                    if segments.next().is_some() {
                        return Err(format!("'{path}': only the last segment may be a rest"));
                    }
                    break &mut node.rest.get_or_insert_with(|| (name, Vec::new())).1;
                }
                (None, Some(name)) => {
                    let (known, next) = node.one.get_or_insert_with(|| (name, Box::new(Node::new())));
                    if *known != name {
                        return Err(format!("'{path}': '{name}' is called '{known}' by another route"));
                    }
                    node = next;
                }
                (None, None) => {
                    let at = node.literals.iter().position(|(literal, _)| *literal == segment);
                    let at = at.unwrap_or_else(|| {
                        node.literals.push((segment, Node::new()));
                        node.literals.len() - 1
                    });
                    node = &mut node.literals[at].1;
                }
            }
        };
        if methods.iter().any(|(known, _)| known == method) {
            return Err(format!("'{method} {path}' is taken by another door"));
        }
        methods.push((method.clone(), target));
        Ok(())
    }

    /// Finds the route of a path as it was sent: literals win over parameters, parameters over a rest.
    pub(crate) fn find(&self, path: &str) -> Found<'_, T> {
        let Some(path) = path.strip_prefix('/') else { return Found::Malformed };
        let decoded: Option<Vec<_>> = path.split('/').take(SEGMENTS_MAX + 1).map(decode).collect();
        let Some(segments) = decoded else { return Found::Malformed };
        if segments.len() > SEGMENTS_MAX {
            return Found::Malformed;
        }
        let mut params = Vec::new();
        match self.root.search(&segments, &mut params) {
            Some(methods) => Found::Here(methods, params),
            None => Found::Nowhere,
        }
    }
}

/// Percent-decodes (RFC 3986 §2.1). `None` where a `%` has no two digits or the result is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = after else { return None };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = after;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// The parameters of a query, decoded; in values `+` is a space, as forms have it. One that is malformed
/// is left out.
pub(crate) fn query(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    fn part(text: &str) -> Option<Cow<'_, str>> {
        if text.contains('+') {
            decode(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()))
        } else {
            decode(text)
        }
    }
    text.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((part(name)?, part(value)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Paths<&'static str> {
        let mut paths = Paths::new();
        for (path, target) in [
            ("/", "root"),
            ("/v1/publish/{*topic}", "publish"),
            ("/v1/user/{name}", "user"),
            ("/v1/user/{name}/tokens", "tokens"),
            ("/v1/user/me", "me"),
            ("/{*file}", "file"),
        ] {
            paths.add(&Method::GET, path, target).unwrap();
        }
        paths
    }

    fn find(path: &str) -> String {
        match routes().find(path) {
            Found::Here(methods, params) => {
                let params: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
                [methods[0].1]
                    .into_iter()
                    .chain(params.iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            Found::Nowhere => "nowhere".into(),
            Found::Malformed => "malformed".into(),
        }
    }

    #[test]
    fn literals_win_over_parameters_and_parameters_over_a_rest() {
        for (path, found) in [
            ("/", "root"),
            ("/v1/publish/rooms/kitchen", "publish topic=rooms/kitchen"),
            ("/v1/publish/rooms%2Fkitchen/%E9%A9%BF", "publish topic=rooms/kitchen/驿"),
            ("/v1/publish/a//b/", "publish topic=a//b/"),
            ("/v1/user/me", "me"),
            ("/v1/user/me/tokens", "tokens name=me"),
            ("/v1/user/ann%20b", "user name=ann b"),
            ("/v1/user/", "file file=v1/user/"),
            ("/app.js", "file file=app.js"),
            ("/v1/publish", "file file=v1/publish"),
            ("/%zz", "malformed"),
            ("/%e9", "malformed"),
            ("/a%2", "malformed"),
            ("*", "malformed"),
        ] {
            assert_eq!(find(path), found, "{path}");
        }
    }

    #[test]
    fn a_path_has_so_many_segments_and_no_more() {
        assert_eq!(find(&"/a".repeat(SEGMENTS_MAX)), format!("file file={}", "a/".repeat(255) + "a"));
        assert_eq!(find(&"/a".repeat(SEGMENTS_MAX + 1)), "malformed");
    }

    #[test]
    fn routes_at_odds_are_refused() {
        let mut paths = routes();
        assert!(paths.add(&Method::POST, "/", "").is_ok());
        for path in ["/", "v1", "/v1/user/{id}", "/{*a}/b"] {
            assert!(paths.add(&Method::GET, path, "").is_err(), "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let pairs: Vec<_> = query("filter=rooms%2F%23&last=10&text=a+b%2Bc&flag&&bad=%zz").collect();
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_ref(), b.as_ref())).collect();
        assert_eq!(pairs, [("filter", "rooms/#"), ("last", "10"), ("text", "a b+c"), ("flag", "")]);
    }
}
