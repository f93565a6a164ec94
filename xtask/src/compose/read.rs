//! From the text of a partition file to a [`Partition`], or to everything that is wrong with it.
//!
//! Refuses what it does not know: a key that nobody reads is a mistake. What a domain may have is not judged here but by
//! the plan of the hypervisor, which judges the finished tree.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::partition::{At, Channel, Domain, File, Partition, Virt};
use super::report::{Problem, Spot, did_you_mean};
use super::{channels, units};

/// Finds the file behind a name in the partition file.
pub type Find<'f> = &'f dyn Fn(&str) -> Result<File, String>;

const TOP: [&str; 5] = ["virt", "rpi4", "options", "domain", "channel"];
const VIRT: [&str; 3] = ["cpus", "memory", "cpu"];
const OPTIONS: [&str; 4] = ["when-done", "switch-key", "console", "more"];
/// What may end a domain, with the property that says what then becomes of it.
const POLICIES: [(&str, &str); 4] = [
    ("on-poweroff", "portunus,on-poweroff"),
    ("on-reboot", "portunus,on-reboot"),
    ("on-crash", "portunus,on-crash"),
    ("on-watchdog", "portunus,on-watchdog"),
];
const DOMAIN: [&str; 16] = [
    "kernel",
    "raw",
    "ramdisk",
    "bootargs",
    "memory",
    "vcpus",
    "affinity",
    "console",
    "hypervisor-node",
    "spis",
    "on-poweroff",
    "on-reboot",
    "on-crash",
    "on-watchdog",
    "max-restarts",
    "restart-delay",
];
const CHANNEL: [&str; 2] = ["ends", "direction"];

/// Reads the text; what is wrong with it is added to `problems`.
pub fn read(text: &str, find: Find<'_>, problems: &mut Vec<Problem>) -> Partition {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().unwrap_or(0..0);
        let help = "the language is TOML: a table is [name], a value is key = value, text stands in quotes";
        problems.push(Problem::new("this is not TOML", &at, error.message().replace('\n', ": "), help));
    }
    if !problems.is_empty() {
        // What stands behind a mistake like that may not be what was written.
        return Partition::default();
    }
    let mut reader = Reader { find, problems };
    reader.partition(root.get_ref())
}

struct Reader<'r> {
    find: Find<'r>,
    problems: &'r mut Vec<Problem>,
}

impl Reader<'_> {
    fn partition(&mut self, root: &DeTable<'_>) -> Partition {
        self.known(root, "a partition file", &TOP);
        let virt = self.table(root, "virt").map_or_else(Virt::default, |(table, _)| self.virt(table));
        let rpi4 = self.table(root, "rpi4").and_then(|(table, _)| self.rpi4(table));
        let options = self.table(root, "options").map(|(table, _)| self.options(table)).unwrap_or_default();
        let tables = self.tables(root, "domain");
        let names: Vec<String> = tables.iter().map(|(name, _)| name.value.clone()).collect();
        let domains: Vec<Domain> =
            tables.into_iter().filter_map(|(name, table)| self.domain(name, table)).collect();
        if !root.contains_key("domain") {
            let help = "a domain begins with [domain.NAME]";
            self.problems.push(Problem::new("no domain", &(0..0), "this file describes no domain", help));
        }
        let mut drafts = Vec::new();
        for (name, table) in self.tables(root, "channel") {
            self.known(table, "a channel", &CHANNEL);
            let ends = self.texts(table, "ends");
            if let Some(ends) = ends {
                let direction = self.text(table, "direction");
                drafts.push(channels::Draft { name, direction, ends });
            } else if !table.contains_key("ends") {
                let help = "write ends = [\"one-domain\", \"other-domain\"]";
                self.problems.push(Problem::new("channel without ends", &name.at, "it joins nothing", help));
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let channels: Vec<Channel> = channels::join(drafts, &names, &domains, self.problems);
        Partition { virt, rpi4, options, domains, channels }
    }

    fn virt(&mut self, table: &DeTable<'_>) -> Virt {
        self.known(table, "the machine virt", &VIRT);
        let usual = Virt::default();
        Virt {
            cpus: self.number(table, "cpus").map_or(usual.cpus, |number| number.value),
            memory: self.memory(table).map_or(usual.memory, |memory| memory.value),
            cpu: self.text(table, "cpu").map_or(usual.cpu, |text| text.value),
        }
    }

    fn rpi4(&mut self, table: &DeTable<'_>) -> Option<At<u64>> {
        self.known(table, "the board rpi4", &["memory"]);
        let memory = self.memory(table)?;
        let sold = [1, 2, 4, 8].map(|gib: u64| gib << 30);
        if !sold.contains(&memory.value) {
            let what = "there is no Raspberry Pi 4 with so much memory";
            let help = "the boards have 1, 2, 4 or 8 GiB: write memory = \"4 GiB\", for example";
            self.problems.push(Problem::new("memory of no board", &memory.at, what, help));
        }
        Some(memory)
    }

    fn options(&mut self, table: &DeTable<'_>) -> Vec<At<String>> {
        self.known(table, "the options", &OPTIONS);
        let names =
            [("when-done", "when-done="), ("switch-key", "conswitch="), ("console", "dtuart="), ("more", "")];
        let found = names.into_iter().filter_map(|(key, word)| {
            let text = self.text(table, key)?;
            Some(At { value: format!("{word}{}", text.value), at: text.at })
        });
        found.collect()
    }

    fn domain(&mut self, name: At<String>, table: &DeTable<'_>) -> Option<Domain> {
        self.known(table, "a domain", &DOMAIN);
        self.name(&name);
        let kernel = self.file(table, "kernel");
        if !table.contains_key("kernel") {
            let help = "write kernel = \"FILE\": an arm64 Image, plain or compressed by gzip";
            self.problems.push(Problem::new(
                "domain without a kernel",
                &name.at,
                "it has nothing to run",
                help,
            ));
        }
        let memory = self.memory(table);
        if !table.contains_key("memory") {
            let help = "write memory = \"32 MiB\", for example";
            self.problems.push(Problem::new("domain without memory", &name.at, "it has no size", help));
        }
        let one = || At { value: 1, at: name.at.clone() };
        Some(Domain {
            raw: self.flag(table, "raw", false),
            ramdisk: self.file(table, "ramdisk"),
            bootargs: self.text(table, "bootargs"),
            vcpus: self.number(table, "vcpus").unwrap_or_else(one),
            affinity: self.affinity(table),
            console: self.flag(table, "console", true),
            hypervisor_node: self.flag(table, "hypervisor-node", true),
            spis: self.number(table, "spis"),
            policies: POLICIES
                .into_iter()
                .filter_map(|(key, property)| Some((property, self.text(table, key)?)))
                .collect(),
            max_restarts: self.numbers(table, "max-restarts"),
            restart_delay: self.number(table, "restart-delay"),
            kernel: kernel?,
            memory: memory?,
            name,
        })
    }

    /// One text for all vCPUs, or one for each.
    fn affinity(&mut self, table: &DeTable<'_>) -> Vec<At<String>> {
        match table.get("affinity").map(|value| value.get_ref()) {
            Some(DeValue::String(_)) => {
                let text = self.text(table, "affinity");
                let vcpus = self.number(table, "vcpus").map_or(1, |number| number.value);
                text.into_iter().cycle().take(vcpus.min(128) as usize).collect()
            }
            Some(_) => self.texts(table, "affinity").unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// A name becomes a node of the tree and the mark of the domain's lines.
    fn name(&mut self, name: &At<String>) {
        const LONGEST: usize = 31;
        let text = &name.value;
        let letters = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_+.".contains(c));
        if !letters
            || text.is_empty()
            || text.len() > LONGEST
            || !text.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            let help = "a name has up to 31 letters, digits, and - _ + . and begins with a letter";
            self.problems.push(Problem::new("name that no node can have", &name.at, "this name", help));
        }
    }

    /// Reports keys that are not `known`.
    fn known(&mut self, table: &DeTable<'_>, what: &str, known: &[&str]) {
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let (title, help) = ("unknown key", did_you_mean(key.get_ref(), known));
                let what = format!("{what} has no key {}", key.get_ref());
                self.problems.push(Problem::new(title, &key.span(), what, help));
            }
        }
    }

    fn table<'t, 'i>(&mut self, table: &'t DeTable<'i>, key: &str) -> Option<(&'t DeTable<'i>, Spot)> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::Table(inner) => Some((inner, value.span())),
            _ => {
                self.wrong(value, "a table", &format!("write [{key}] on a line of its own"));
                None
            }
        }
    }

    /// The tables in the table `key`, with their names: `[key.NAME]`.
    fn tables<'t, 'i>(&mut self, root: &'t DeTable<'i>, key: &str) -> Vec<(At<String>, &'t DeTable<'i>)> {
        let Some((outer, _)) = self.table(root, key) else { return Vec::new() };
        let mut found = Vec::new();
        for (name, value) in outer {
            match value.get_ref() {
                DeValue::Table(inner) => {
                    found.push((At { value: name.get_ref().to_string(), at: name.span() }, inner));
                }
                _ => self.wrong(
                    value,
                    "a table",
                    &format!("write [{key}.{}] on a line of its own", name.get_ref()),
                ),
            }
        }
        found
    }

    fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<At<String>> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At { value: text.to_string(), at: value.span() }),
            _ => {
                self.wrong(value, "a text", &format!("write {key} = \"…\""));
                None
            }
        }
    }

    fn texts(&mut self, table: &DeTable<'_>, key: &str) -> Option<Vec<At<String>>> {
        let value = table.get(key)?;
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong(value, "a list of texts", &format!("write {key} = [\"…\", \"…\"]"));
            return None;
        };
        let mut texts = Vec::new();
        for item in list.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push(At { value: text.to_string(), at: item.span() }),
                _ => self.wrong(item, "a text", &format!("write {key} = [\"…\", \"…\"]")),
            }
        }
        Some(texts)
    }

    /// One number, or a list of them.
    fn numbers(&mut self, table: &DeTable<'_>, key: &str) -> Vec<At<u32>> {
        match table.get(key).map(|value| value.get_ref()) {
            Some(DeValue::Array(list)) => list.iter().filter_map(|item| self.whole(item, key)).collect(),
            _ => self.number(table, key).into_iter().collect(),
        }
    }

    fn number(&mut self, table: &DeTable<'_>, key: &str) -> Option<At<u32>> {
        self.whole(table.get(key)?, key)
    }

    fn whole(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Option<At<u32>> {
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| u32::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok());
        if number.is_none() {
            self.wrong(value, "a whole number from 0 up", &format!("write {key} = 1, for example"));
        }
        Some(At { value: number?, at: value.span() })
    }

    fn flag(&mut self, table: &DeTable<'_>, key: &str, usual: bool) -> bool {
        let Some(value) = table.get(key) else { return usual };
        match value.get_ref() {
            DeValue::Boolean(flag) => *flag,
            _ => {
                self.wrong(value, "true or false", &format!("write {key} = {}", !usual));
                usual
            }
        }
    }

    fn memory(&mut self, table: &DeTable<'_>) -> Option<At<u64>> {
        let value = table.get("memory")?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            // A bare number is the commonest mistake: the device tree counts in KiB, people do not.
            DeValue::Integer(number) => number.as_str().to_owned(),
            _ => {
                self.wrong(value, "an amount of memory", "write memory = \"32 MiB\", for example");
                return None;
            }
        };
        match units::bytes(&text) {
            Ok(bytes) => Some(At { value: bytes, at: value.span() }),
            Err((what, help)) => {
                self.problems.push(Problem::new(
                    "amount of memory that cannot be read",
                    &value.span(),
                    what,
                    help,
                ));
                None
            }
        }
    }

    fn file(&mut self, table: &DeTable<'_>, key: &str) -> Option<At<File>> {
        let text = self.text(table, key)?;
        match (self.find)(&text.value) {
            Ok(file) => Some(At { value: file, at: text.at }),
            Err(why) => {
                let help =
                    "paths count from the folder of this file; portunus:NAME is a guest of this repository";
                self.problems.push(Problem::new("file that cannot be read", &text.at, why, help));
                None
            }
        }
    }

    fn wrong(&mut self, value: &Spanned<DeValue<'_>>, wanted: &str, help: &str) {
        let what = format!("this is {}", kind(value.get_ref()));
        self.problems.push(Problem::new(format!("{wanted} is wanted here"), &value.span(), what, help));
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
