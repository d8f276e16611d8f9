//! The layers: built in < file < environment < `--set`.

use std::path::{Path, PathBuf};

use super::{
    docs::{Manual, Shape, TypeName, nearest},
    read::read,
    sections::Config,
    tree::{Item, Node, Origin},
};

/// What the names of environment variables begin with: `YIZHAN_HTTP__LISTEN` is `http.listen`.
const ENV_PREFIX: &str = "YIZHAN_";

/// What stands for the dot in them; every setting lies in a section, so every setting's name has it.
const ENV_DOT: &str = "__";

/// Variables with that beginning that are no settings and are meant.
const ENV_OTHERS: [&str; 6] =
    ["YIZHAN_BIN", "YIZHAN_CA", "YIZHAN_CONFIG", "YIZHAN_DATA", "YIZHAN_SERVER", "YIZHAN_TOKEN"];

/// Where a config comes from; read again on SIGHUP.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// `--dev`: begin with what is good for trying things out.
    pub(crate) dev: bool,
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
    /// The environment's variables that begin with `YIZHAN_`, and their values.
    pub(crate) env: Vec<(String, String)>,
    /// `--set`, in order.
    pub(crate) set: Vec<String>,
}

/// The process' variables that are meant as settings, in the order of their names. What only looks like one
/// may belong to somebody else's script: it is named, and left alone.
pub(crate) fn environment() -> Vec<(String, String)> {
    let mut all: Vec<_> = std::env::vars().filter(|(k, _)| k.starts_with(ENV_PREFIX)).collect();
    all.sort();
    all.retain(|(name, _)| {
        let setting = name.contains(ENV_DOT);
        if !setting && !ENV_OTHERS.contains(&name.as_str()) {
            eprintln!("yizhan: {name} is no setting (those look like YIZHAN_HTTP__LISTEN): it is left alone");
        }
        setting
    });
    all
}

impl Layers {
    /// The config in force.
    ///
    /// # Errors
    /// Everything that is wrong, one sentence each with its place.
    pub(crate) fn load(&self) -> Result<Config, Vec<String>> {
        let begin = if self.dev { Config::dev() } else { Config::built_in() };
        let table = toml::Value::try_from(&begin).map_err(|e| vec![format!("built-in config: {e}")])?;
        let mut tree = Node::built_in(&table);
        let mut problems = Vec::new();
        let manual = Manual::new();
        for upper in self.uppers(&mut problems) {
            check_keys(&manual, &Manual::top(), &upper, "", &mut problems);
            let is_file = matches!(upper.from, Origin::File(..));
            if is_file && upper.child("space").is_some() {
                tree.remove("space");
            }
            tree.overlay(upper);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let config: Config = read(&tree).map_err(|error| vec![error.to_string()])?;
        let mut problems = config.check();
        if self.dev {
            problems.extend(config.not_loopback());
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn uppers(&self, problems: &mut Vec<String>) -> Vec<Node> {
        let mut uppers = Vec::new();
        if let Some(path) = &self.file {
            match read_file(path) {
                Ok(node) => uppers.push(node),
                Err(problem) => problems.push(problem),
            }
        }
        for (name, value) in &self.env {
            let keys: Vec<String> =
                name[ENV_PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
            uppers.push(Node::single(&keys, value, &Origin::Env(name.as_str().into())));
        }
        if let Some(data) = &self.data {
            let keys = ["server".to_owned(), "data".to_owned()];
            let from = Origin::Set("--data".into());
            uppers.push(Node::single(&keys, &data.display().to_string(), &from));
        }
        for text in &self.set {
            let from = Origin::Set(format!("--set {text}").into());
            match text.split_once('=') {
                Some((path, value)) => {
                    let keys: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
                    uppers.push(Node::single(&keys, value.trim(), &from));
                }
                None => problems.push(format!("{from}: write it as key=value")),
            }
        }
        uppers
    }
}

fn read_file(path: &Path) -> Result<Node, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the config {}: {error}", path.display()))?;
    Node::parse_file(path, &text)
}

/// Notes keys that no section has, with the one that was probably meant.
fn check_keys(manual: &Manual, within: &TypeName, node: &Node, path: &str, problems: &mut Vec<String>) {
    let Item::Table(entries) = &node.item else { return };
    let fields = manual.fields(within);
    for (key, node) in entries {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some((owner, field)) = fields.iter().find(|(_, field)| field.key == *key) else {
            let known: Vec<&str> = fields.iter().map(|(_, field)| field.key.as_str()).collect();
            let place = if path.is_empty() { String::new() } else { format!(" in [{path}]") };
            let hint = match nearest(key, &known) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("known here: {}", known.join(", ")),
            };
            problems.push(format!("{}: unknown key '{key}'{place}: {hint}", node.from));
            continue;
        };
        match (manual.shape(owner, field), &node.item) {
            (Shape::Table(inner), _) => check_keys(manual, &inner, node, &full, problems),
            (Shape::Named(inner), Item::Table(entries)) => {
                for (name, node) in entries {
                    check_keys(manual, &inner, node, &format!("{full}.{name}"), problems);
                }
            }
            (Shape::Listed(inner), Item::List(nodes)) => {
                for node in nodes {
                    check_keys(manual, &inner, node, &full, problems);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::sections::{KeepConfig, LagConfig};

    fn load(file: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("y.toml");
        std::fs::write(&path, file).unwrap();
        let layers = Layers {
            file: Some(path),
            env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            set: set.iter().map(|s| (*s).to_owned()).collect(),
            ..Layers::default()
        };
        let short = |problem: String| problem.replace(&format!("{}/", folder.path().display()), "");
        layers.load().map_err(|problems| problems.into_iter().map(short).collect())
    }

    #[test]
    fn each_layer_lies_over_the_one_below() {
        let file = "[log]\nlevel = 'warn'\n[http]\nlisten = '127.0.0.1:1000'\n";
        let config = load(file, &[], &[]).unwrap();
        assert_eq!((config.log.level.as_str(), config.http.listen[0].port()), ("warn", 1000));
        let env = [("YIZHAN_HTTP__LISTEN", "127.0.0.1:2000")];
        assert_eq!(load(file, &env, &[]).unwrap().http.listen[0].port(), 2000);
        let config = load(file, &env, &["http.listen=127.0.0.1:3000", "http.listen=127.0.0.1:4000"]).unwrap();
        assert_eq!((config.log.level.as_str(), config.http.listen[0].port()), ("warn", 4000));
    }

    #[test]
    fn people_may_write_durations_sizes_and_lists() {
        let sets = [
            "server.drain_within=1500ms",
            "http.body_bytes_max=64MiB",
            "http.listen=['127.0.0.1:1', '[::1]:2']",
            "space.logs.age_max=7d",
            "space.logs.keep=disk",
            "space.logs.bytes_max=10 GB",
            "trace.sample=0.25",
            "identity.login_for=24h",
        ];
        let config = load("", &[], &sets).unwrap();
        assert_eq!(config.server.drain_within, Duration::from_millis(1500));
        assert_eq!(config.http.body_bytes_max, 64 << 20);
        assert_eq!(config.http.listen.len(), 2);
        let logs = &config.spaces["logs"];
        assert_eq!((logs.keep, logs.bytes_max), (KeepConfig::Disk, Some(10_000_000_000)));
        assert_eq!(logs.age_max, Some(Duration::from_secs(7 * 86400)));
        assert_eq!(logs.space("logs").unwrap().topics.as_str(), "logs/#");
        assert_eq!(config.identity.login_for, Duration::from_secs(86400));
    }

    #[cfg(feature = "socket")]
    #[test]
    fn an_address_alone_stands_for_a_table() {
        let config = load("[socket]\ntcp = '127.0.0.1:0'\n", &[], &[]).unwrap();
        assert_eq!(config.socket.tcp.listen, ["127.0.0.1:0".parse().unwrap()]);
        let config = load("", &[], &["socket.tcp.listen=[]"]).unwrap();
        assert!(config.socket.tcp.listen.is_empty());
    }

    #[test]
    fn unknown_keys_are_errors_with_a_place_and_a_suggestion() {
        let file = "[http]\n\nlisen = 'x'\n[htttp]\na = 1\n[space.a]\nkeeep = 'disk'\n";
        let problems = load(file, &[("YIZHAN_LOG__LEVELS", "x")], &["identity.jwt.secre=x"]).unwrap_err();
        let expected = [
            "y.toml:3: unknown key 'lisen' in [http]: did you mean 'listen'?",
            "y.toml:4: unknown key 'htttp': did you mean 'http'?",
            "y.toml:7: unknown key 'keeep' in [space.a]: did you mean 'keep'?",
            "environment YIZHAN_LOG__LEVELS: unknown key 'levels' in [log]: did you mean 'level'?",
            "--set identity.jwt.secre=x: unknown key 'secre' in [identity.jwt]: did you mean 'secret'?",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn bad_values_lead_to_their_place() {
        let problems = load("[limits]\nconnections_max = 'many'\n", &[], &[]).unwrap_err();
        assert!(problems[0].starts_with("y.toml:2: limits.connections_max: "), "{problems:?}");
        let problems = load("", &[], &["space.a.topics=a/#/b"]).unwrap_err();
        assert!(problems[0].starts_with("space.a.topics: "), "{problems:?}");
        let problems = load("", &[], &["log.level=loud", "trace.sample=2"]).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(load("", &[], &["x"]).unwrap_err(), ["--set x: write it as key=value"]);
    }

    #[test]
    fn spaces_of_a_file_stand_instead_of_the_built_in_ones() {
        assert!(load("", &[], &[]).unwrap().spaces.contains_key("rooms"));
        let config = load("[space.mine]\ntopics = '#'\n", &[], &["space.more.keep=memory"]).unwrap();
        assert_eq!(config.spaces.keys().collect::<Vec<_>>(), ["mine", "more"]);
        let config = load("", &[], &["space.rooms.lag=close"]).unwrap();
        assert_eq!(config.spaces["rooms"].lag, LagConfig::Close);
        assert_eq!(config.spaces["rooms"].keep, KeepConfig::Disk);
    }

    #[test]
    fn dev_keeps_its_promise() {
        let layers = Layers { dev: true, data: Some("elsewhere".into()), ..Layers::default() };
        let config = layers.load().unwrap();
        assert_eq!(config.spaces["all"].keep, KeepConfig::Nothing);
        assert_eq!(config.spaces["all"].lag, LagConfig::Skip);
        assert_eq!(config.spaces["disk"].keep, KeepConfig::Disk);
        assert!(config.http.listen.iter().all(|a| a.ip().is_loopback()));
        assert_eq!(config.server.data, Path::new("elsewhere"));
        let layers = Layers { set: vec!["http.listen=0.0.0.0:8080".into()], ..layers };
        let problems = layers.load().unwrap_err();
        assert!(problems[0].starts_with("http.listen: --dev lets everybody in"), "{problems:?}");
    }
}
