using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>As much of the DNS message format as a forwarder needs (RFC 1035, 4.1).</summary>
internal static class DnsMessage
{
    public const int HeaderLength = 12;
    public const ushort TypeA = 1, TypeAaaa = 28, ClassInternet = 1;
    public const int NoError = 0, ServerFailure = 2, NameError = 3;
    private const int MaximumNameLength = 255, MaximumLabelLength = 63;
    private const ushort ResponseFlag = 0x8000, OpcodeMask = 0x7800, RecursionDesired = 0x0100, RecursionAvailable = 0x0080;
    private const ushort PointerToQuestion = 0xC000 | HeaderLength;
    private const uint TimeToLiveSeconds = 60;
    private const int MaximumAnswers = 16;

    /// <summary>The one question of a query.</summary>
    /// <param name="Name">Name without the final dot.</param>
    /// <param name="Type">Record type.</param>
    /// <param name="Class">Record class.</param>
    /// <param name="End">Offset of the first byte behind it.</param>
    public readonly record struct Question(string Name, ushort Type, ushort Class, int End);

    /// <summary>True for a message that may be sent on as a standard query or a like request.</summary>
    public static bool IsQuery(ReadOnlySpan<byte> message) =>
        message.Length >= HeaderLength && (BinaryPrimitives.ReadUInt16BigEndian(message[2..]) & ResponseFlag) == 0;

    /// <summary>True when a message is the answer to a query: same identifier, same question.</summary>
    public static bool IsAnswerTo(ReadOnlySpan<byte> message, ReadOnlySpan<byte> query)
    {
        if (message.Length < HeaderLength || !message[..2].SequenceEqual(query[..2])
            || (BinaryPrimitives.ReadUInt16BigEndian(message[2..]) & ResponseFlag) == 0)
        {
            return false;
        }

        // Servers that cannot make sense of a query answer without the question.
        return BinaryPrimitives.ReadUInt16BigEndian(message[4..]) == 0
            || !TryReadQuestion(query, out var asked)
            || (TryReadQuestion(message, out var answered) && answered.Type == asked.Type
                && string.Equals(answered.Name, asked.Name, StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>Reads the question of a standard query with exactly one.</summary>
    public static bool TryReadQuestion(ReadOnlySpan<byte> message, out Question question)
    {
        question = default;
        if (message.Length < HeaderLength || BinaryPrimitives.ReadUInt16BigEndian(message[4..]) != 1
            || (BinaryPrimitives.ReadUInt16BigEndian(message[2..]) & OpcodeMask) != 0)
        {
            return false;
        }

        var name = new StringBuilder();
        int offset = HeaderLength;
        while (offset < message.Length && message[offset] != 0)
        {
            int length = message[offset];
            if (length > MaximumLabelLength || offset + 1 + length >= message.Length || name.Length + length + 1 > MaximumNameLength)
            {
                return false;
            }

            name.Append(name.Length == 0 ? "" : ".").Append(Encoding.Latin1.GetString(message.Slice(offset + 1, length)));
            offset += 1 + length;
        }

        if (offset + 5 > message.Length)
        {
            return false;
        }

        question = new Question(
            name.ToString(), BinaryPrimitives.ReadUInt16BigEndian(message[(offset + 1)..]),
            BinaryPrimitives.ReadUInt16BigEndian(message[(offset + 3)..]), offset + 5);
        return true;
    }

    /// <summary>True for a name that can be looked up as a host's.</summary>
    public static bool IsHostName(string name) =>
        name.Length > 0 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');

    /// <summary>Makes an answer with addresses, or with none.</summary>
    public static byte[] MakeAnswer(ReadOnlySpan<byte> query, in Question question, int code, IReadOnlyCollection<IPAddress> addresses)
    {
        var family = question.Type == TypeAaaa ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
        var records = addresses.Where(a => a.AddressFamily == family).Take(MaximumAnswers).Select(a => a.GetAddressBytes()).ToArray();
        byte[] answer = new byte[question.End + records.Sum(r => 12 + r.Length)];
        query[..question.End].CopyTo(answer);
        WriteHeader(answer, code, 1, records.Length);
        var rest = answer.AsSpan(question.End);
        foreach (byte[] record in records)
        {
            BinaryPrimitives.WriteUInt16BigEndian(rest, PointerToQuestion);
            BinaryPrimitives.WriteUInt16BigEndian(rest[2..], question.Type);
            BinaryPrimitives.WriteUInt16BigEndian(rest[4..], ClassInternet);
            BinaryPrimitives.WriteUInt32BigEndian(rest[6..], TimeToLiveSeconds);
            BinaryPrimitives.WriteUInt16BigEndian(rest[10..], (ushort)record.Length);
            record.CopyTo(rest[12..]);
            rest = rest[(12 + record.Length)..];
        }

        return answer;
    }

    /// <summary>Makes an answer that says only that the server failed.</summary>
    public static byte[] MakeFailure(ReadOnlySpan<byte> query)
    {
        if (TryReadQuestion(query, out var question))
        {
            return MakeAnswer(query, question, ServerFailure, []);
        }

        byte[] answer = query[..HeaderLength].ToArray();
        WriteHeader(answer, ServerFailure, 0, 0);
        return answer;
    }

    private static void WriteHeader(Span<byte> message, int code, int questions, int answers)
    {
        ushort flags = BinaryPrimitives.ReadUInt16BigEndian(message[2..]);
        flags = (ushort)((flags & (OpcodeMask | RecursionDesired)) | ResponseFlag | RecursionAvailable | code);
        BinaryPrimitives.WriteUInt16BigEndian(message[2..], flags);
        BinaryPrimitives.WriteUInt16BigEndian(message[4..], (ushort)questions);
        BinaryPrimitives.WriteUInt16BigEndian(message[6..], (ushort)answers);
        BinaryPrimitives.WriteUInt32BigEndian(message[8..], 0);
    }
}
