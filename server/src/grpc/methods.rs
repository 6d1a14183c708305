//! The methods that a server may be asked for, from its descriptors: the only names that metrics, spans and logs show.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{DescriptorError, DescriptorPool};
use tollgate_proto::FILE_DESCRIPTOR_SET;

/// Stands for every method that is not in the contract: callers choose paths freely.
const UNKNOWN: &str = "unknown";

/// A method.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// Its full name, such as `tollgate.v1.UsageService/RecordUsage`.
    pub name: String,
    /// Whether it answers with a stream.
    pub is_stream: bool,
}

/// All methods, by path.
#[derive(Debug, Clone)]
pub struct Methods {
    by_path: Arc<HashMap<String, Arc<Method>>>,
    unknown: Arc<Method>,
}

impl Methods {
    /// Those of the contract, health and reflection.
    ///
    /// # Errors
    /// Where the compiled-in descriptors are broken.
    pub fn of_contract() -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
        pool.decode_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)?;
        pool.decode_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)?;
        let mut by_path = HashMap::new();
        for service in pool.services() {
            for method in service.methods() {
                let name = format!("{}/{}", service.full_name(), method.name());
                let is_stream = method.is_server_streaming();
                by_path.insert(format!("/{name}"), Arc::new(Method { name, is_stream }));
            }
        }
        let unknown = Arc::new(Method { name: UNKNOWN.to_owned(), is_stream: false });
        Ok(Self { by_path: Arc::new(by_path), unknown })
    }

    /// The method at this path.
    pub fn at(&self, path: &str) -> Arc<Method> {
        self.by_path.get(path).unwrap_or(&self.unknown).clone()
    }

    /// Each of them, and the one that stands for all others.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Method>> {
        self.by_path.values().chain([&self.unknown])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_contract_have_names() {
        let methods = Methods::of_contract().unwrap();
        let method = methods.at("/tollgate.v1.UsageService/StreamUsage");
        assert_eq!((method.name.as_str(), method.is_stream), ("tollgate.v1.UsageService/StreamUsage", true));
        assert!(!methods.at("/grpc.health.v1.Health/Check").is_stream);
        for path in ["", "/", "/tollgate.v1.UsageService/RecordUsage/", "/canary"] {
            assert_eq!(methods.at(path).name, UNKNOWN, "{path}");
        }
    }
}
