//! What stands around the objects of a package: `type`, `id`, `spec_version` of a bundle, `more` of a TAXII envelope.

/// What a bundle or a TAXII envelope says beside its objects.
#[derive(serde::Deserialize)]
pub(super) struct Envelope {
    #[serde(rename = "type")]
    ty: Option<serde_json::Value>,
    id: Option<serde_json::Value>,
    spec_version: Option<serde_json::Value>,
    objects: Option<serde_json::Value>,
    more: Option<serde_json::Value>,
}

impl Envelope {
    /// Reads the envelope, its array of objects left empty.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    fn is_bundle(&self) -> bool {
        self.ty.as_ref().is_some_and(|ty| ty == "bundle")
    }

    /// A bundle or an envelope whose `objects` is missing or no array.
    pub(super) fn is_empty_package(&self) -> bool {
        self.is_bundle() || (self.ty.is_none() && self.id.is_none() && (self.more.is_some() || self.objects.is_some()))
    }

    /// Property, reason and message of what breaks a rule. The objects arrive all the same: each is checked on its own.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str, String)> {
        if self.objects.as_ref().is_some_and(|objects| !objects.is_array()) {
            return Some(("objects", "wrong-type", "expected an array of objects".into()));
        }
        // A TAXII envelope has no type.
        if self.ty.as_ref().is_some_and(|ty| ty != "bundle") {
            return Some(("type", "wrong-type", "a package with `objects` is of type bundle".into()));
        }
        if let Some(version) = self.spec_version.as_ref().filter(|version| *version != "2.0" && *version != "2.1") {
            return Some(("spec_version", "unknown-spec-version", format!("{version} is neither 2.0 nor 2.1")));
        }
        if self.is_bundle() && !self.id.as_ref().and_then(|id| id.as_str()).is_some_and(|id| id.starts_with("bundle--")) {
            return Some(("id", "invalid-id", "a bundle needs an `id` of the form bundle--UUID".into()));
        }
        None
    }
}
