using System.Buffers.Binary;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// Compares transcendental functions: status but for the direction of rounding (C1) exactly, results to one unit in the last
/// place, which is what processors promise. Only for operands in the range that an instruction is defined for.
/// </summary>
internal static unsafe class TranscendentalComparison
{
    private const int C1 = 0x200;
    private const int StAt = 32;

    /// <summary>Null when nothing differs (or nothing is promised), otherwise a report.</summary>
    public static string? Run(NativeProcessor native, InterpretedProcessor interpreted, OracleCase test, Code code)
    {
        var initial = test.Initial;
        if (!IsInRange(new ReadOnlySpan<byte>(initial.Fx, 512), code))
        {
            return null;
        }

        var expected = initial;
        native.Run(test.Code, ref expected);
        var actual = initial;
        interpreted.Run(test.Code, ref actual);
        var expectedFx = new ReadOnlySpan<byte>(expected.Fx, 512);
        var actualFx = new ReadOnlySpan<byte>(actual.Fx, 512);
        bool equal = expected.Vector == actual.Vector && (Status(expectedFx) & ~C1) == (Status(actualFx) & ~C1)
            && expectedFx[4] == actualFx[4];
        for (int n = 0; n < 8; n++)
        {
            equal &= IsClose(Register(expectedFx, n), Register(actualFx, n));
        }

        return equal ? null
            : $"{code} of {Show(new ReadOnlySpan<byte>(initial.Fx, 512))}\n  native {Show(expectedFx)}\n  interpreted {Show(actualFx)}\n";
    }

    private static int Status(ReadOnlySpan<byte> fx) => BinaryPrimitives.ReadUInt16LittleEndian(fx[2..]);

    private static (int SignExponent, ulong Significand) Register(ReadOnlySpan<byte> fx, int n) =>
        (BinaryPrimitives.ReadUInt16LittleEndian(fx[(StAt + (16 * n) + 8)..]), BinaryPrimitives.ReadUInt64LittleEndian(fx[(StAt + (16 * n))..]));

    private static bool IsClose((int SignExponent, ulong Significand) a, (int SignExponent, ulong Significand) b)
    {
        // Significands without their integer bit continue the exponent: neighbours differ by one.
        var x = ((Int128)(a.SignExponent & 0x7FFF) << 63) | (Int128)(a.Significand & long.MaxValue);
        var y = ((Int128)(b.SignExponent & 0x7FFF) << 63) | (Int128)(b.Significand & long.MaxValue);
        return (a.SignExponent & 0x8000) == (b.SignExponent & 0x8000) && Int128.Abs(x - y) <= 1;
    }

    private static bool IsInRange(ReadOnlySpan<byte> fx, Code code)
    {
        var (signExponent, significand) = Register(fx, 0);
        int exponent = signExponent & 0x7FFF;
        bool denormal = exponent == 0 && significand != 0;
        return code switch
        {
            Code.F2xm1 => exponent < 0x3FFF,
            Code.Fyl2xp1 => exponent < 0x3FFD && !denormal,
            Code.Fyl2x => !denormal,
            _ => true,
        };
    }

    private static string Show(ReadOnlySpan<byte> fx)
    {
        var (s0, m0) = Register(fx, 0);
        var (s1, m1) = Register(fx, 1);
        return $"st0={s0:X4}.{m0:X16} st1={s1:X4}.{m1:X16} fsw={Status(fx):x} fcw={BinaryPrimitives.ReadUInt16LittleEndian(fx):x} ftw={fx[4]:x}";
    }
}
