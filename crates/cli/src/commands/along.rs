//! What goes along with what is carried: flags that `export`, `import`, `copy` and `plan` share.

use ocistow_graph::Selector;

/// What goes along, and what may be missing.
#[derive(Debug, Clone, clap::Args)]
pub struct Along {
    /// Carry only this platform, os[/arch[/variant]][:os.version]; repeat for more
    #[arg(long = "platform", value_name = "PLATFORM")]
    pub platforms: Vec<Selector>,
    /// Leave signatures, SBOMs and everything else behind that refers to what is carried
    #[arg(long)]
    pub no_referrers: bool,
    /// Also carry what is referred to, where a referrer is carried
    #[arg(long)]
    pub include_subject: bool,
    /// Take missing content as a warning
    #[arg(long)]
    pub allow_missing: bool,
    /// Take platforms of an index that are not there as missing (5)
    #[arg(long)]
    pub complete: bool,
}
