import { create, type DescFile, type DescMessage, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type ContextValues } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "@decnet/contract/gen/google/rpc/error_details_pb";
import { Health } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { ServerReflection, ServerReflectionResponseSchema } from "@decnet/contract/gen/grpc/reflection/v1/reflection_pb";
import {
  ServerReflectionResponseSchema as ResponseSchemaAlpha,
  ServerReflection as ServerReflectionAlpha,
} from "@decnet/contract/gen/grpc/reflection/v1alpha/reflection_pb";
import { kConnection } from "./connection.ts";
import { toConnectError } from "./errors.ts";
import { overloaded } from "./overloaded.ts";

/** gRPC server reflection, v1 and v1alpha, over the given services. */
export function registerReflection(router: ConnectRouter, services: readonly DescService[]): void {
  const answer = createAnswer([...services, Health, ServerReflection, ServerReflectionAlpha]);
  router.service(ServerReflection, {
    async *serverReflectionInfo(requests, { values }) {
      const sent = new Set<string>();
      for await (const request of paced(requests, values))
        yield create(ServerReflectionResponseSchema, {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answer(request, sent),
        });
    },
  });
  router.service(ServerReflectionAlpha, {
    async *serverReflectionInfo(requests, { values }) {
      const sent = new Set<string>();
      for await (const request of paced(requests, values))
        yield create(ResponseSchemaAlpha, {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answer(request, sent),
        });
    },
  });
}

/** Questions of one stream that cost nothing: a client asks for a list and for what it needs. */
const freeQuestions = 20;

/** Each further question of a stranger is a call like any other. */
async function* paced<Question>(questions: AsyncIterable<Question>, values: ContextValues): AsyncGenerator<Question> {
  const connection = values.get(kConnection);
  let asked = 0;
  for await (const question of questions) {
    asked += 1;
    if (asked > freeQuestions && !connection.takesBareCall())
      throw toConnectError(overloaded("too many questions without a token"));
    yield question;
  }
}

/** What both versions of the protocol have in common. */
interface Question {
  readonly case: string | undefined;
  readonly value?: unknown;
}

function createAnswer(services: readonly DescService[]) {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  const addMessage = (message: DescMessage, file: DescFile) => {
    symbols.set(message.typeName, file);
    for (const field of message.fields) symbols.set(`${message.typeName}.${field.name}`, file);
    for (const inner of message.nestedEnums) symbols.set(inner.typeName, file);
    for (const inner of message.nestedMessages) addMessage(inner, file);
  };
  const addFile = (file: DescFile) => {
    if (files.has(`${file.name}.proto`)) return;
    files.set(`${file.name}.proto`, file);
    for (const dependency of file.dependencies) addFile(dependency);
    for (const message of file.messages) addMessage(message, file);
    for (const entry of file.enums) symbols.set(entry.typeName, file);
    for (const service of file.services) {
      symbols.set(service.typeName, file);
      for (const method of service.methods) symbols.set(`${service.typeName}.${method.name}`, file);
    }
  };
  for (const service of services) addFile(service.file);
  // Details of errors travel packed: clients ask for their types by name.
  addFile(file_google_rpc_error_details);
  const known = new Map<DescFile, Uint8Array>();
  const packed = (file: DescFile): Uint8Array => {
    const bytes = known.get(file) ?? toBinary(FileDescriptorProtoSchema, file.proto);
    known.set(file, bytes);
    return bytes;
  };
  return ({ messageRequest: question }: { messageRequest: Question }, sent: Set<string>) => {
    if (question.case === "listServices")
      return {
        case: "listServicesResponse" as const,
        value: { service: services.map((service) => ({ name: service.typeName })) },
      };
    const file =
      question.case === "fileByFilename"
        ? files.get(String(question.value))
        : question.case === "fileContainingSymbol"
          ? symbols.get(String(question.value))
          : undefined;
    if (file !== undefined)
      return {
        case: "fileDescriptorResponse" as const,
        value: { fileDescriptorProto: withImports(file, sent).map(packed) },
      };
    const asked = typeof question.value === "string" ? question.value : (question.case ?? "nothing");
    return { case: "errorResponse" as const, value: { errorCode: Code.NotFound, errorMessage: `not found: ${asked}` } };
  };
}

/** The file itself, then its imports that this stream was not given yet. */
function withImports(file: DescFile, sent: Set<string>): DescFile[] {
  sent.add(file.name);
  return [file, ...file.dependencies.flatMap((dependency) => (sent.has(dependency.name) ? [] : withImports(dependency, sent)))];
}
