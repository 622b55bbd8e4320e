export const throughput = async (_: object): Promise<{ sections: []; metrics: {} }> => ({ sections: [], metrics: {} });
