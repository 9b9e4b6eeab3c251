// Loaded at the first request that asks for it.
export const answer = () => "loaded when it was needed";
