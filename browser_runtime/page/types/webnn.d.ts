// The part of WebNN that this page uses: TypeScript's own DOM library has none of it yet.
// Source: https://www.w3.org/TR/webnn/

type MLDeviceType = 'cpu' | 'gpu' | 'npu';
type MLDataType = 'float32' | 'float16' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'int8' | 'uint8';

interface MLOperandDescriptor {
  dataType: MLDataType;
  shape: readonly number[];
}

interface MLOperand {
  readonly dataType: MLDataType;
  readonly shape: readonly number[];
}

interface MLTensor {
  readonly dataType: MLDataType;
  readonly shape: readonly number[];
  destroy(): void;
}

interface MLGraph {
  destroy?(): void;
}

interface MLContext {
  readonly accelerated?: boolean;
  readonly lost: Promise<{ message: string }>;
  opSupportLimits(): Record<string, unknown>;
  createTensor(
    descriptor: MLOperandDescriptor & { readable?: boolean; writable?: boolean },
  ): Promise<MLTensor>;
  writeTensor(tensor: MLTensor, data: BufferSource): void;
  readTensor(tensor: MLTensor): Promise<ArrayBuffer>;
  dispatch(graph: MLGraph, inputs: Record<string, MLTensor>, outputs: Record<string, MLTensor>): void;
  destroy?(): void;
}

interface ML {
  createContext(options?: { deviceType?: MLDeviceType; powerPreference?: string }): Promise<MLContext>;
}

declare class MLGraphBuilder {
  constructor(context: MLContext);
  input(name: string, descriptor: MLOperandDescriptor): MLOperand;
  constant(descriptor: MLOperandDescriptor, data: BufferSource): MLOperand;
  add(a: MLOperand, b: MLOperand): MLOperand;
  matmul(a: MLOperand, b: MLOperand): MLOperand;
  relu(input: MLOperand): MLOperand;
  build(outputs: Record<string, MLOperand>): Promise<MLGraph>;
}

interface NavigatorML {
  readonly ml?: ML;
}
interface Navigator extends NavigatorML {}
interface WorkerNavigator extends NavigatorML {}
