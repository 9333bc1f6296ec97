//! The servers of a script, configured as in production: by a `Server.xml`. It knows no engine: the text is the same
//! whether a simulated host reads it or a process.

use headwater_core::config::{self, Config, Environment};

use crate::script::{Edge, Origin};

/// A `Server.xml`, and the variables of the environment that it is read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerXml {
    /// The text.
    pub text: String,
    /// What `${env:...}` stands for in it.
    pub variables: Vec<(&'static str, String)>,
}

/// The port on which origins take RTMP.
pub const RTMP_PORT: u16 = 1935;
/// The port on which servers give OVT.
pub const OVT_PORT: u16 = 9000;
/// The port on which edges answer players.
pub const HLS_PORT: u16 = 3333;

impl ServerXml {
    /// An origin that listens on `ip` (`*` for all addresses): RTMP in, OVT out.
    pub fn origin(origin: &Origin, ip: &str) -> ServerXml {
        let mut xml = ServerXml {
            text: include_str!("../assets/origin.xml").to_owned(),
            variables: vec![("NAME", origin.name.clone()), ("IP", ip.to_owned())],
        };
        if let Some(serves) = &origin.serves {
            let door = format!("<LLHLS><Port>{HLS_PORT}</Port></LLHLS>");
            let clock = format!("<TimestampMode>{}</TimestampMode>", serves.timestamps.name());
            let viewers = format!(
                "<LLHLS><ServerTimeBasedSegmentNumbering>true</ServerTimeBasedSegmentNumbering>\
                 <ChunkDuration>{}</ChunkDuration><SegmentDuration>{}</SegmentDuration>\
                 <SegmentCount>{}</SegmentCount></LLHLS>",
                seconds(serves.part_ms),
                seconds(serves.segment_ms),
                serves.segments
            );
            for (place, what) in [("door", door), ("clock", clock), ("viewers", viewers)] {
                xml.text = xml.text.replace(&format!("<!-- the {place} -->"), &what);
            }
        }
        let standby = format!("<StandbyPublishers>{}</StandbyPublishers>", origin.standby);
        xml.text = xml.text.replace("<!-- the publishers -->", &standby);
        let own = "<OriginHostName>${env:NAME}</OriginHostName>";
        let plain = format!("<PlainKeys>{}</PlainKeys>", origin.plain_keys);
        xml.with_directory(origin.store.as_ref(), &[own, &plain].concat())
    }

    /// An edge that listens on `ip`: OVT in, LL-HLS out, and OVT for edges behind it. `address` says under which name
    /// or address another host is reached.
    pub fn edge(edge: &Edge, ip: &str, address: impl Fn(&str) -> String) -> ServerXml {
        let url = |server: &String| format!("<Url>{}:{OVT_PORT}/live/</Url>", address(server));
        let urls: Vec<String> = edge.from.iter().map(url).collect();
        // An edge may know no server at all, and ask the directory.
        let rule = if urls.is_empty() { "" } else { include_str!("../assets/rule.xml") };
        let rule = rule.replace("<!-- the servers -->", &urls.concat());
        let xml = ServerXml {
            text: include_str!("../assets/edge.xml").replace("<!-- the rule -->", &rule),
            variables: vec![
                ("NAME", edge.name.clone()),
                ("IP", ip.to_owned()),
                ("NO_INPUT", edge.no_input_ms.to_string()),
                ("UNUSED", edge.unused_ms.to_string()),
                ("HOT_STANDBY", edge.hot_standby.to_string()),
                ("RETRY", edge.retry_count.to_string()),
                ("FAILBACK", edge.failback.to_string()),
                ("PERSISTENT", edge.persistent.to_string()),
                ("PART", seconds(edge.part_ms)),
                ("SEGMENT", seconds(edge.segment_ms)),
                ("SEGMENTS", edge.segments.to_string()),
            ],
        };
        let mut xml = xml.with_directory(edge.store.as_ref(), "");
        if let Some(most) = edge.waiting_max {
            let limits = format!("<Limits><WaitingRequests>{most}</WaitingRequests></Limits><Bind>");
            xml.text = xml.text.replacen("<Bind>", &limits, 1);
        }
        xml
    }

    /// The same with a directory in the store of this name, if there is one, in which `announces` says how streams are
    /// announced.
    fn with_directory(mut self, store: Option<&String>, announces: &str) -> ServerXml {
        let Some(store) = store else { return self };
        let directory = include_str!("../assets/directory.xml").replace("<!-- who announces -->", announces);
        self.text = self.text.replace("<!-- the directory -->", &directory);
        self.variables.push(("STORE", store.clone()));
        self
    }

    /// What a server reads in it.
    ///
    /// # Errors
    /// What is wrong with it, in the words in which the server would say it.
    pub fn config(&self) -> Result<Config, String> {
        config::load("Server.xml", self).map(|loaded| loaded.config).map_err(|wrong| wrong.to_string())
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// An environment that has one file and a few variables.
impl Environment for ServerXml {
    fn var(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn hostname(&self) -> Option<String> {
        None
    }

    fn home(&self) -> String {
        ".".to_owned()
    }

    fn current_path(&self) -> String {
        ".".to_owned()
    }

    fn read(&self, _path: &str) -> Result<String, String> {
        Ok(self.text.clone())
    }

    fn list(&self, _dir: &str) -> Result<Vec<String>, String> {
        Ok(vec!["Server.xml".to_owned()])
    }
}
