//! The configuration of a node, typed. Reading `Server.xml` into it is in this module's children; nothing outside
//! knows that the text was XML.

pub mod model;
pub use model::{
    Application, CacheControl, Config, CrossDomains, HostPattern, Listeners, LlHls, OvtProvider, Providers,
    Publishers, RtmpProvider, TimestampMode, VirtualHost,
};
