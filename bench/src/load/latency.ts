export const latency = async (_: object): Promise<{ sections: []; metrics: {} }> => ({ sections: [], metrics: {} });
