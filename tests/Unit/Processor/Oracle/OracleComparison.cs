using System.Buffers.Binary;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>Runs a case on both processors and says how they differ.</summary>
internal static unsafe class OracleComparison
{
    private const ulong ComparedFlags = 0x0025_4FD5;
    private const int MxcsrAt = 24, StAt = 32, XmmAt = 160;
    private static readonly string[] Names =
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

    /// <summary>Null when nothing differs, otherwise a report.</summary>
    public static string? Run(NativeProcessor native, InterpretedProcessor interpreted, OracleCase test)
    {
        var expected = test.Initial;
        test.Data.CopyTo(native.Data);
        native.Run(test.Code, ref expected);

        var actual = test.Initial;
        test.Data.CopyTo(interpreted.Data);
        interpreted.Run(test.Code, ref actual);

        var differences = new List<string>();
        Compare(differences, "vector", (ulong)expected.Vector, (ulong)actual.Vector);
        Compare(differences, "error code", expected.ErrorCode, actual.ErrorCode);
        Compare(differences, "rip", expected.Rip, actual.Rip);
        CompareFaultAddress(differences, expected.Cr2, actual.Cr2);
        for (int n = 0; n < 16; n++)
        {
            Compare(differences, Names[n], expected.Gpr[n], actual.Gpr[n]);
        }

        ulong mask = ComparedFlags & ~(expected.Vector < 0 ? test.UndefinedFlags : test.EverUndefinedFlags);
        Compare(differences, "rflags", expected.Rflags & mask, actual.Rflags & mask);
        CompareFx(differences, new ReadOnlySpan<byte>(expected.Fx, 512), new ReadOnlySpan<byte>(actual.Fx, 512));
        for (int n = 0; HostProcessor.HasAvx && n < 16; n++)
        {
            CompareBytes(
                differences, $"ymm{n} upper", new ReadOnlySpan<byte>(expected.Upper + (16 * n), 16), new ReadOnlySpan<byte>(actual.Upper + (16 * n), 16));
        }

        if (test.IgnoredData >= 0)
        {
            native.Data.Slice(test.IgnoredData, sizeof(uint)).Clear();
            interpreted.Data.Slice(test.IgnoredData, sizeof(uint)).Clear();
        }

        CompareData(differences, native.Data, interpreted.Data);
        return differences.Count == 0 ? null : Report(test, differences);
    }

    // In which order the parts of an operand across two pages are touched is not architectural: the page is.
    private static void CompareFaultAddress(List<string> differences, ulong expected, ulong actual)
    {
        if (expected >> 12 != actual >> 12)
        {
            Compare(differences, "cr2", expected, actual);
        }
    }

    private static void CompareFx(List<string> differences, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        Compare(differences, "fcw", Word(expected, 0), Word(actual, 0));
        Compare(differences, "fsw", Word(expected, 2), Word(actual, 2));
        Compare(differences, "ftw", expected[4], actual[4]);
        Compare(differences, "mxcsr", Word(expected, MxcsrAt), Word(actual, MxcsrAt));
        for (int n = 0; n < 8; n++)
        {
            CompareBytes(differences, $"st{n}", expected.Slice(StAt + (16 * n), 10), actual.Slice(StAt + (16 * n), 10));
        }

        for (int n = 0; n < 16; n++)
        {
            CompareBytes(differences, $"xmm{n}", expected.Slice(XmmAt + (16 * n), 16), actual.Slice(XmmAt + (16 * n), 16));
        }
    }

    private static void CompareData(List<string> differences, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        if (expected.SequenceEqual(actual))
        {
            return;
        }

        for (int at = 0; at < expected.Length; at += 16)
        {
            CompareBytes(differences, $"[{OracleLayout.Data + (ulong)at:x}]", expected.Slice(at, 16), actual.Slice(at, 16));
        }
    }

    private static ulong Word(ReadOnlySpan<byte> fx, int at) => BinaryPrimitives.ReadUInt16LittleEndian(fx[at..]);

    private static void Compare(List<string> differences, string name, ulong expected, ulong actual)
    {
        if (expected != actual)
        {
            differences.Add($"  {name}: native {expected:x}, interpreted {actual:x}, xor {expected ^ actual:x}");
        }
    }

    private static void CompareBytes(List<string> differences, string name, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        if (!expected.SequenceEqual(actual))
        {
            differences.Add($"  {name}: native {Number(expected)}, interpreted {Number(actual)}");
        }
    }

    // As a number: the highest byte first.
    private static string Number(ReadOnlySpan<byte> bytes)
    {
        byte[] reversed = bytes.ToArray();
        Array.Reverse(reversed);
        return Convert.ToHexString(reversed);
    }

    private static string Report(OracleCase test, List<string> differences)
    {
        var initial = test.Initial;
        ulong[] general = new ReadOnlySpan<ulong>(initial.Gpr, 16).ToArray();
        ulong flags = initial.Rflags;
        var registers = Enumerable.Range(0, 16).Select(n => $"{Names[n]}={general[n]:x}");
        var fx = new ReadOnlySpan<byte>(initial.Fx, 512).ToArray();
        var st = Enumerable.Range(0, 8).Select(n => $"st{n}={Number(fx.AsSpan(StAt + (16 * n), 10))}");
        var upper = new ReadOnlySpan<byte>(initial.Upper, 256).ToArray();
        var xmm = Enumerable.Range(0, 16).Select(n => $"ymm{n}={Number(upper.AsSpan(16 * n, 16))}:{Number(fx.AsSpan(XmmAt + (16 * n), 16))}");
        return $"{test.Text()}{string.Join('\n', differences)}\n  from {string.Join(' ', registers)} rflags={flags:x}"
            + $" fcw={Word(fx, 0):x} fsw={Word(fx, 2):x} ftw={fx[4]:x} mxcsr={Word(fx, MxcsrAt):x}"
            + $"\n  {string.Join(' ', st)}\n  {string.Join(' ', xmm)}\n";
    }
}
