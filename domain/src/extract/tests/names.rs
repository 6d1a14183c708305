//! Names of APIs.

use super::*;
use crate::extract::known_apis;

const CHAT: &str = r#"{"prompt_tokens":1,"completion_tokens":2}"#;

#[test]
fn every_known_api_can_be_named() {
    let names: Vec<_> = known_apis().collect();
    assert!(names.len() > 98);
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), names.len(), "no name twice");
    for name in names {
        let refused = refusal(name, "{}");
        assert!(refused.starts_with(&format!("no usage found for `{name}`")), "{name}: {refused}");
        assert!(refusal(&name.to_uppercase(), "{}").starts_with("no usage found"), "{name}");
    }
}

#[test]
fn providers_and_flavors_go_by_several_names() {
    for api in [
        "OpenAI.Chat",
        "openai.chat.completions",
        "azure.ai.openai",
        "azure.ai.openai.chat",
        "azure_openai.chat",
        "together.chat",
        "together_ai.chat",
        "mistral",
        "groq.chat",
        "some-new-host.chat",
        "huggingface_nebius",
        " deepseek.chat ",
    ] {
        assert_usage(api, CHAT, "input_uncached=1 output_text=2");
    }
    assert_usage(
        "new-host.messages",
        r#"{"input_tokens":1,"cache_read_input_tokens":5}"#,
        "input_uncached=1 cache_read=5",
    );
}

#[test]
fn an_unknown_api_is_refused_with_the_known_ones() {
    assert_eq!(
        refusal("anthropic.telepathy", CHAT),
        "unknown api `anthropic.telepathy`: send provider.flavor, for example anthropic.default, anthropic.chat, \
         anthropic.messages"
    );
    let unknown = "send provider.flavor, for example openai.chat, openai.responses, anthropic.messages, aws.converse, \
        google.generate_content, PROVIDER.chat, PROVIDER.responses, PROVIDER.embeddings";
    for api in ["", ".", "nobody", "nobody.default", ".chat", "openai.", "nobody.telepathy"] {
        let refused = refusal(api, CHAT);
        assert!(refused.starts_with(&format!("unknown api `{api}`")), "{refused}");
        assert!(api.starts_with("openai") || refused.ends_with(unknown), "{refused}");
    }
    assert!(refusal(&"x".repeat(10_000), CHAT).len() < 400, "a name is not repeated without a bound");
}
